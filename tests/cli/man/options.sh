# The options of --help, of the SYNOPSIS and of the list in the page are the same.
man=$EL_TEST_DATA/../../man
"$EDGELLM" list commands | sed 's/   *.*//' > commands
while read -r c; do
    page=$man/edgellm-${c// /-}.1
    [ -f "$page" ] || fail "$page is missing"
    # shellcheck disable=SC2086
    "$EDGELLM" $c --help < /dev/null | sed -n 's/^  \(-.*\)/\1/p' | sed 's/   *.*//' > lines
    grep -oE '(^|[ ,])--?[a-z][a-z0-9-]*' lines | tr -d ' ,' | sort -u > help.all
    # First spelling of each: what the SYNOPSIS has.
    sed 's/[ ,].*//' lines | sort -u > help.first
    sed -n 's/^\.It Fl/Fl/p' "$page" | grep -oE 'Fl [-a-z0-9]+' | sed 's/^Fl /-/' | sort -u > page.all
    sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESCRIPTION/p' "$page" | grep -oE 'Fl [-a-z0-9]+' | sed 's/^Fl /-/' | sort -u > page.first
    diff help.all page.all >&2 || fail "$c: the options of --help and of the page differ"
    diff help.first page.first >&2 || fail "$c: the options of --help and of the SYNOPSIS differ"
    # The arguments: words in capitals of the usage line.
    # shellcheck disable=SC2086
    "$EDGELLM" $c --help < /dev/null | sed -n '1s/^usage: edgellm //p' | grep -oE '\b[A-Z]{2,}\b' | sort -u > usage.words
    sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESCRIPTION/p' "$page" | grep -oE '\b[A-Z]{2,}\b' | sort -u > page.words
    [ -z "$(comm -23 usage.words page.words)" ] || fail "$c: arguments are missing in the SYNOPSIS: $(comm -23 usage.words page.words)"
    # Every command is in the main page, and the page is named in it.
    grep -qx "\.It Cm $c" "$man/edgellm.1" || fail "edgellm.1 lacks $c"
    grep -q "^\.Xr edgellm-${c// /-} 1" "$man/edgellm.1" || fail "edgellm.1 does not refer to $c"
done < commands
[ "$(ls "$man"/edgellm-*.1 | wc -l)" -eq "$(wc -l < commands)" ] || fail "a page without a command"
