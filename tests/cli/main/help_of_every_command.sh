"$EDGELLM" list commands | sed 's/   *.*//' > commands
[ "$(wc -l < commands)" -eq 16 ] || fail "16 commands expected"
while read -r c; do
    # shellcheck disable=SC2086
    el $c --help < /dev/null
    empty err
    head -n 1 out | grep -q "^usage: edgellm $c" || fail "usage of $c"
    cp out first
    # shellcheck disable=SC2086
    el help $c < /dev/null && same out first
    # shellcheck disable=SC2086
    el $c -h < /dev/null && same out first
    awk 'length > 100 { exit 1 }' out || fail "$c: a line of the help is over 100 characters"
done < commands
