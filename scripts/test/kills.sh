#!/usr/bin/env bash
# Random kills: MODEL is quantized once as it is, and once with --resume while kill -9 comes N times (10) at random moments; the
# files must be equal. Usage: kills.sh MODEL STATS TYPE [N] [OPTIONS of quantize...]      EDGELLM, SEED
set -eu
E=$(realpath "${EDGELLM:-$(dirname "$0")/../../edgellm}")
model=$(realpath "$1") stats=$(realpath "$2") type=$3 n=${4:-10}
[ $# -gt 4 ] && shift 4 || shift $#
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
RANDOM=${SEED:-1}
begin=$(date +%s%N)
"$E" quantize -q --stats "$stats" "$@" "$model" "$dir/whole.gguf" "$type" 2> /dev/null
took=$((($(date +%s%N) - begin) / 1000000))
kills=0 runs=0
while [ "$kills" -lt "$n" ]; do
    # On average a quarter of the whole, so that several of them are needed.
    at=$((took * RANDOM / 65536 + 1)) rc=0
    runs=$((runs + 1))
    { timeout -s KILL "$((at / 1000)).$(printf %03d $((at % 1000)))" \
        "$E" quantize -q --resume --stats "$stats" "$@" "$model" "$dir/killed.gguf" "$type"; } 2> /dev/null || rc=$?
    case $rc in
    0) cmp "$dir/whole.gguf" "$dir/killed.gguf" && rm "$dir/killed.gguf" ;;
    137) kills=$((kills + 1)) ;;
    *) echo "exit code $rc after $kills kills" >&2 && exit 1 ;;
    esac
done
"$E" quantize -q --resume --force --stats "$stats" "$@" "$model" "$dir/killed.gguf" "$type" 2> /dev/null
cmp "$dir/whole.gguf" "$dir/killed.gguf"
[ ! -e "$dir/killed.gguf.part" ]
echo "$kills kills in $((runs + 1)) runs of at most $took ms: the same $(stat -c %s "$dir/whole.gguf") bytes"
