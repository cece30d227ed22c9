#!/bin/sh
# The example program, built against the installed header and library only, generates text. Also tests install, pkg-config and uninstall.
set -eu
cd "$(dirname "$0")/../.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
make -s install DESTDIR="$tmp" PREFIX=/usr > /dev/null
for f in usr/bin/edgellm usr/include/edgellm.h usr/include/edgellm_plan.h usr/lib/pkgconfig/edgellm.pc usr/lib/libedgellm.so usr/share/man/man1/edgellm.1 \
    usr/share/bash-completion/completions/edgellm; do
    [ -e "$tmp/$f" ] || { echo "install did not make $f"; exit 1; }
done
grep -q "Version: $(./edgellm --version | sed 's/^edgellm //; s/ .*//')" "$tmp/usr/lib/pkgconfig/edgellm.pc"
"$tmp/usr/bin/edgellm" --version > /dev/null
gcc -std=c11 -Wall -Wextra -Werror -I"$tmp/usr/include" examples/generate.c -L"$tmp/usr/lib" -ledgellm -Wl,-rpath,"$tmp/usr/lib" -o "$tmp/generate"
readelf -d "$tmp/generate" | grep -q 'libedgellm\.so\.[0-9]'
text=$("$tmp/generate" tests/data/books-4m "The old house" 24)
[ "${#text}" -gt 20 ]
want=$(./edgellm run -m tests/data/books-4m -p "The old house" -n 24 --temp 0 --no-display-prompt 2> /dev/null)
[ "$text" = "$want" ] || { echo "example: '$text', run: '$want'"; exit 1; }
make -s uninstall DESTDIR="$tmp" PREFIX=/usr > /dev/null
left=$(find "$tmp/usr" -type f | head -3)
[ -z "$left" ] || { echo "uninstall left $left"; exit 1; }
echo "the example wrote: $(printf '%s' "$text" | tr '\n' ' ' | cut -c1-60)"
