#!/bin/sh
# Speed of edgellm and llama.cpp on one model, in turn (A B A B ...), medians. One JSON object a line on stdout.
#   speed.sh EDGELLM LLAMA_BIN_FOLDER MODEL-F32-OR-F16.gguf NAME [THREADS=2] [ROUNDS=5]
# Nothing else should run. Quantization writes to a temporary folder; both sides find the input in the page cache.
set -eu
[ $# -ge 4 ] || { echo "usage: speed.sh EDGELLM LLAMA_BIN_FOLDER MODEL.gguf NAME [THREADS] [ROUNDS]" >&2; exit 2; }
edgellm=$1 peer=$2 model=$3 name=$4 threads=${5:-2} rounds=${6:-5}
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT INT TERM
cpu=$(awk -F': *' '/^model name/ { print $2; exit }' /proc/cpuinfo)
now() { date +%s.%N; }
seconds() { # COMMAND ...: wall time
    s=$(now)
    "$@" > "$d/log" 2>&1 || { cat "$d/log" >&2; exit 1; }
    e=$(now)
    awk -v a="$s" -v b="$e" 'BEGIN { printf "%.3f\n", b - a }'
}
median() { sort -g "$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
row() { # WHAT TYPE UNIT: from the files ours and theirs
    printf '{"model": "%s", "cpu": "%s", "threads": %s, "rounds": %s, "what": "%s", "type": "%s", "unit": "%s", "edgellm": %s, "llama_cpp": %s}\n' \
        "$name" "$cpu" "$threads" "$rounds" "$1" "$2" "$3" "$(median "$d/ours")" "$(median "$d/theirs")"
    rm -f "$d/ours" "$d/theirs"
}
cat "$model" > /dev/null
for type in Q8_0 Q4_0 Q4_K_M Q6_K; do
    i=0
    while [ $i -lt "$rounds" ]; do
        seconds "$edgellm" quantize --force "$model" "$d/ours-$type.gguf" $type "$threads" >> "$d/ours"
        seconds "$peer/llama-quantize" "$model" "$d/theirs-$type.gguf" $type "$threads" >> "$d/theirs"
        i=$((i + 1))
    done
    row quantize $type seconds
done
for type in source Q8_0 Q4_0 Q4_K_M Q6_K; do
    file=$d/theirs-$type.gguf
    [ $type = source ] && file=$model
    for test in pp tg; do
        if [ $test = pp ]; then flags='-p 128 -n 0'; else flags='-p 0 -n 32'; fi
        i=0
        while [ $i -lt "$rounds" ]; do
            # shellcheck disable=SC2086
            "$edgellm" bench -m "$file" -t "$threads" $flags -r 1 -o json 2> /dev/null | sed -n 's/.*"avg_ts": *\([0-9.eE+]*\).*/\1/p' >> "$d/ours"
            # shellcheck disable=SC2086
            "$peer/llama-bench" -m "$file" -t "$threads" $flags -r 1 -o json 2> /dev/null | sed -n 's/.*"avg_ts": *\([0-9.eE+]*\).*/\1/p' >> "$d/theirs"
            i=$((i + 1))
        done
        row $test $type 'tokens/s'
    done
done
