command -v mandoc > /dev/null || skip "mandoc is missing"
man=$EL_TEST_DATA/../../man
mandoc -T lint -W warning "$man"/*.1 "$man"/*.5 > lint 2>&1 || { cat lint >&2; fail "mandoc complains"; }
