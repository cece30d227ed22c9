#!/bin/bash
# Speed of edgellm and llama.cpp on one model, in turn (A B A B ...), medians. One JSON object a line on stdout.
#   speed.sh wall|cpu EDGELLM LLAMA_BIN_FOLDER MODEL.gguf NAME THREADS ROUNDS TYPE ...
# wall: seconds that pass, for a machine that does nothing else. cpu: seconds of processor time with one thread, for one that does (a
# thread that waits for another costs processor time, so more threads would count for nothing). TYPE: made from MODEL by llama-quantize.
# pp: tokens/s of a prompt of 128; tg: of 16 generated tokens. Each is measured as the difference of 5 repetitions and 1, so that loading
# and warming up do not count.
set -eu
[ $# -ge 7 ] || { echo "usage: speed.sh wall|cpu EDGELLM LLAMA_BIN_FOLDER MODEL.gguf NAME THREADS ROUNDS TYPE ..." >&2; exit 2; }
measure=$1 edgellm=$2 peer=$3 model=$4 name=$5 threads=$6 rounds=$7
shift 7
[ "$measure" = wall ] || threads=1
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
cpu=$(awk -F': *' '/^model name/ { print $2; exit }' /proc/cpuinfo)
TIMEFORMAT='%R %U %S'

seconds() { # COMMAND ...: what it took
    { time "$@" > "$d/out" 2> "$d/err"; } 2> "$d/time" || { cat "$d/err" >&2; exit 1; }
    awk -v m="$measure" '{ printf "%.3f\n", m == "wall" ? $1 : $2 + $3 }' "$d/time"
}
rate() { # TOKENS COMMAND ...: tokens/s of one repetition
    local tokens=$1 a b
    shift
    a=$(seconds "$@" -r 1)
    b=$(seconds "$@" -r 5)
    awk -v t="$tokens" -v a="$a" -v b="$b" 'BEGIN { printf "%.3f\n", 4 * t / (b - a) }'
}
median() { sort -g "$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
row() { # WHAT TYPE UNIT: medians of the files ours and theirs
    local a b
    a=$(median "$d/ours") b=$(median "$d/theirs")
    printf '{"model": "%s", "cpu": "%s", "measure": "%s", "threads": %s, "rounds": %s, "what": "%s", "type": "%s", "unit": "%s", ' \
        "$name" "$cpu" "$measure" "$threads" "$rounds" "$1" "$2" "$3"
    printf '"edgellm": %s, "llama_cpp": %s}\n' "$a" "$b"
    rm -f "$d/ours" "$d/theirs"
}

unit=s
[ "$measure" = wall ] || unit='CPU s'
cat "$model" > "$d/out" # into the page cache
for type in "$@"; do
    for ((i = 0; i < rounds; i++)); do
        seconds "$edgellm" quantize -q --force "$model" "$d/ours.gguf" "$type" "$threads" >> "$d/ours"
        seconds "$peer/llama-quantize" "$model" "$d/$type.gguf" "$type" "$threads" >> "$d/theirs"
    done
    row quantize "$type" "$unit"
    for test in 'pp 128 -p 128 -n 0' 'tg 16 -p 0 -n 16'; do
        read -r what tokens flags <<< "$test"
        for ((i = 0; i < rounds; i++)); do
            # shellcheck disable=SC2086
            rate "$tokens" "$edgellm" bench -m "$d/$type.gguf" -t "$threads" $flags >> "$d/ours"
            # shellcheck disable=SC2086
            rate "$tokens" "$peer/llama-bench" -m "$d/$type.gguf" -t "$threads" $flags >> "$d/theirs"
        done
        row "$what$tokens" "$type" "tokens/$unit"
    done
    rm -f "$d/$type.gguf"
done
