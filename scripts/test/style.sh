#!/bin/sh
# Rules a machine can check. Lines: 130 columns, no tabs, no blanks at the end. Files: 1,000 lines. Names of files unique in the tree.
# With clang-format present, also says where the changed lines since BASE (default HEAD) differ from .clang-format; that never fails.
set -eu
cd "$(dirname "$0")/../.."
bad=0
files=$(git ls-files -co --exclude-standard '*.c' '*.h' '*.def' '*.inc')
for f in $files; do
    awk -v f="$f" 'length($0) > 130 { print f ":" NR ": " length($0) " columns, at most 130"; e = 1 }
        /\t/ { print f ":" NR ": tab"; e = 1 } /[ ]$/ { print f ":" NR ": blank at the end of the line"; e = 1 }
        END { if (NR > 1000) { print f ": " NR " lines, at most 1000"; e = 1 } exit e }' "$f" || bad=1
done
dup=$(for f in $files; do basename "$f"; done | grep -v '^test_' | sort | uniq -d)
[ -z "$dup" ] || { echo "file names that stand twice: $dup"; bad=1; }
if grep -nwE 'TO''DO|FIX''ME|XX''X' $files; then bad=1; fi
if command -v git-clang-format >/dev/null 2>&1 && git rev-parse HEAD >/dev/null 2>&1; then
    git clang-format --diff --extensions c,h,def,inc "${1:-HEAD}" -- $files 2>/dev/null | head -200 || true
fi
[ $bad = 0 ] && echo "style holds"
exit $bad
