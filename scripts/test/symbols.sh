#!/bin/sh
# A shared library exports what edgellm.h declares with EL_API, all of it and nothing else. Usage: symbols.sh LIBRARY
set -eu
cd "$(dirname "$0")/../.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
nm -D --defined-only "$1" | awk '$2 ~ /[TDBRV]/ { print $3 }' | sort -u > "$tmp/exported"
cat lib/edgellm.h lib/edgellm_plan.h | tr '\n' ' ' | sed 's/EL_API/\nEL_API/g' | sed -n 's/^EL_API[^(]*[ *]\(el_[a-z0-9_]*\)(.*/\1/p' | sort -u > "$tmp/declared"
if ! diff "$tmp/declared" "$tmp/exported" > "$tmp/diff"; then
    sed -n 's/^< /declared in edgellm.h, not exported: /p; s/^> /exported, not declared in edgellm.h: /p' "$tmp/diff"
    exit 1
fi
echo "$(wc -l < "$tmp/exported") public symbols, all declared"
