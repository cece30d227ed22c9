el --version
one_line out
grep -qxE 'edgellm [0-9]+\.[0-9]+\.[0-9]+' out || fail "version line"
cp out first
el version && same out first
el --version --json
for k in version commit compiler libraries cpu kernels; do has out "\"$k\": "; done
rc 2 "$EDGELLM" version x
