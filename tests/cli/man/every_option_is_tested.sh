# Every option of every command appears, in some spelling, in a case that calls that command. --help and --quiet: main/help*, main/quiet.
cli=$EL_TEST_DATA/../cli
"$EDGELLM" list commands | sed 's/   *.*//' > commands
while read -r c; do
    # shellcheck disable=SC2046,SC2086
    cat /dev/null $(grep -lE "(el|EDGELLM\"|EDGELLM) $c( |\$)" $(find "$cli" -name '*.sh' ! -path '*/main/help*' ! -path '*/man/*')) |
        grep -v '^#' > used
    # shellcheck disable=SC2086
    "$EDGELLM" $c --help < /dev/null | sed -n 's/^  \(-.*\)/\1/p' | sed 's/   *.*//' | grep -v -e '^-h,' -e '^-q,' > lines || true
    while read -r line; do
        found=
        for o in $(grep -oE -- '(^|[ ,])--?[a-z][a-z0-9-]*' <<< "$line" | tr -d ' ,'); do
            grep -qE -- "(^|[ \"])$o([ =\"]|\$)" used && found=1
        done
        [ -n "$found" ] || echo "$c: ${line%%,*}" >> missing
    done < lines
done < commands
[ ! -f missing ] || { cat missing >&2; fail "options without a test"; }
