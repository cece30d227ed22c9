#!/bin/sh
# Same quantized bytes for 1, 2, 3, 8 threads, gcc and clang, every CPU level; for all encodings that can be made with fewer runs.
# Same greedy tokens for any number of threads.
set -eu
cd "$(dirname "$0")/../.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
model=tests/data/books-4m
types="Q8_0 Q4_0 Q4_K_M Q6_K G4_32 G3_128Z"
levels=$(./edgellm list cpu-levels | cut -d' ' -f1)
builds=./edgellm
if command -v clang > /dev/null 2>&1; then
    make -s -j2 binaries CC=clang TARGET_DIR=build/clang
    builds="$builds build/clang/edgellm"
else
    echo "clang is not installed: one compiler only"
fi
n=0
for type in $types; do
    want=
    for edgellm in $builds; do
        for threads in 1 2 3 8; do
            $edgellm quantize -q --force -t $threads $model "$tmp/q.gguf" "$type"
            sum=$(sha256sum < "$tmp/q.gguf")
            [ "${want:=$sum}" = "$sum" ] || { echo "$type: other bytes with $edgellm, $threads threads"; exit 1; }
            n=$((n + 1))
        done
        for level in $levels; do
            EDGELLM_CPU=$level $edgellm quantize -q --force $model "$tmp/q.gguf" "$type" 2> "$tmp/err" || {
                grep -q 'this CPU' "$tmp/err" && continue # a level that the machine lacks
                cat "$tmp/err"; exit 1; }
            sum=$(sha256sum < "$tmp/q.gguf")
            [ "$want" = "$sum" ] || { echo "$type: other bytes with $edgellm at level $level"; exit 1; }
            n=$((n + 1))
        done
    done
done
# All of the table, each by itself; the search through codebooks takes several times as long as others, so they get fewer weights.
make -s tools
build/tools/make_model "$tmp/small.gguf" layers=1 embd=256 heads=4 kv=2 ff=256 vocab=300 type=f16
table=$(./edgellm --list --json | sed -n '/"encodings"/,/]/s/.*"name": "\([^"]*\)".*/\1/p' | grep -vxE 'F32|F16|BF16|G')
for type in $table; do
    want=
    case $type in IQ1* | IQ2* | IQ3*) of=$tmp/small.gguf ;; *) of=$model ;; esac
    for edgellm in $builds; do
        for set in "-t 1" "-t 3" $levels; do
            case $set in -t*) level= ;; *) level=$set set="-t 2" ;; esac
            # shellcheck disable=SC2086
            EDGELLM_CPU=$level $edgellm quantize -q --force --pure $set "$of" "$tmp/q.gguf" "$type" 2> "$tmp/err" || {
                grep -q 'this CPU' "$tmp/err" && continue
                cat "$tmp/err"; exit 1; }
            sum=$(sha256sum < "$tmp/q.gguf")
            [ "${want:=$sum}" = "$sum" ] || { echo "$type: other bytes with $edgellm $set $level"; exit 1; }
            n=$((n + 1))
        done
    done
done
./edgellm quantize -q --force $model "$tmp/q.gguf" Q4_K_M
for m in $model "$tmp/q.gguf"; do
    want=
    for threads in 1 2 3 8; do
        text=$(./edgellm run -m "$m" -p "The children" -n 48 --temp 0 -t $threads 2> /dev/null)
        [ "${want:=$text}" = "$text" ] || { echo "$m: other text with $threads threads"; exit 1; }
        n=$((n + 1))
    done
done
echo "$n runs, same bytes for every type and same text for every model"
