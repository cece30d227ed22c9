#!/bin/bash
# Every method at every width and group: what it loses, how large the file is, what making it took. One JSON object a line on stdout, ordered
# by group, then width, then method; WORK/ptq.md is the same as a Markdown table. What WORK has of an earlier run is not made again.
#   ptq_table.sh EDGELLM MODEL CALIBRATION JUDGED WORK
# CALIBRATION, JUDGED: texts. WORK: a folder for what is made. Needs build/tools/supervise (`make tools`). Environment:
#   METHODS  separated by commas, each with its options (all of them, and compositions)
#   BITS     widths of the group encoding (8 4 3 2)
#   GROUP    columns that share a scale, with Z behind it for zero points (32 64 128 ROW)
#   EDGE     type of embedding and output (Q8_0); all other matrices are G<bits>_<group>
#   TOKENS   of calibration (131072); WINDOWS of 512 tokens that are judged (24); THREADS (2)
# kld: mean divergence from MODEL in float32. removed: part of the first method's kld at the same width and group that this one removes.
# seconds, peak_mib: of quantize, without the statistics.
set -u
[ $# -eq 5 ] || { sed -n 's/^#   ptq_table/usage: ptq_table/p' "$0" >&2; exit 2; }
edgellm=$(realpath "$1") model=$(realpath "$2") text=$(realpath "$3") judged=$(realpath "$4")
mkdir -p "$5"
work=$(realpath "$5")
supervise=${SUPERVISE:-$(dirname "$0")/../../build/tools/supervise}
methods=${METHODS-rtn,mse,imatrix,hqq,clip,smoothquant,awq,gptq,adaround,quarot,quarot+clip,quarot+hqq,awq+gptq,quarot+gptq}
bits=${BITS-8 4 3 2} groups=${GROUP-32 64 128 ROW} edge=${EDGE:-Q8_0}
tokens=${TOKENS:-131072} windows=${WINDOWS:-24} threads=${THREADS:-2}
log=$work/log

quiet() { # COMMAND ...: its output only where it fails
    "$@" > "$log" 2>&1 || { echo "failed: $*" >&2; cat "$log" >&2; exit 1; }
}

made() { # FILE COMMAND ... with the word FILE: unless it is there
    local file=$1
    shift
    [ -e "$file" ] || { rm -f "$work/new.gguf"; quiet "${@//FILE/$work/new.gguf}"; mv "$work/new.gguf" "$file"; }
}

of_json() { sed -n "s/^  \"$1\": \([0-9.e+-]*\),*\$/\1/p" "$log"; } # KEY

row() { # TYPE METHOD: into $cell
    local type=$1 method=$2 begin took
    begin=$(date +%s%N)
    # shellcheck disable=SC2086
    quiet "$supervise" peak "$work/peak" -- "$edgellm" quantize -q --force --pure --token-embedding-type "$edge" --output-tensor-type "$edge" \
        --method $method --stats "$work/stats-$tokens.gguf" -t "$threads" "$model" "$work/new.gguf" "$type"
    took=$((($(date +%s%N) - begin) / 1000000))
    quiet "$edgellm" eval kld -q -m "$work/new.gguf" --base "$work/f32.gguf" -f "$judged" -c 512 --chunks "$windows" -t "$threads" --json
    printf '{"type": "%s", "method": "%s", "bytes": %s, "ppl": %.4f, "kld": %.6g, "kld_stderr": %.2g, "seconds": %d.%03d, "peak_mib": %s}\n' "$type" \
        "$method" "$(stat -c %s "$work/new.gguf")" "$(of_json ppl)" "$(of_json kld_mean)" "$(of_json kld_mean_stderr)" $((took / 1000)) \
        $((took % 1000)) "$(($(cat "$work/peak") / 1024))" > "$work/new.json"
    mv "$work/new.json" "$cell"
    rm "$work/new.gguf"
}

made "$work/f32.gguf" "$edgellm" convert -q "$model" FILE --type f32
made "$work/stats-$tokens.gguf" "$edgellm" calibrate -q -c 512 --chunks $((tokens / 512)) -t "$threads" -o FILE "$model" "$text"
printf '| Type | Method | perplexity | KLD | removed | bytes | seconds | peak, MiB |\n|---|---|---:|---:|---:|---:|---:|---:|\n' > "$work/ptq.md"
for g in $groups; do
    for b in $bits; do
        first=
        while IFS= read -r -d , method; do
            cell=$work/G${b}_$g-$(tr -c 'a-z0-9.+\n' _ <<< "$method")-$tokens-$windows-$edge.json
            [ -e "$cell" ] || row "G${b}_$g" "$method"
            kld=$(sed 's/.*"kld": \([^,]*\),.*/\1/' "$cell")
            first=${first:-$kld}
            removed=$(awk -v a="$kld" -v b="$first" 'BEGIN { printf "%.3f", (b > 0 ? 1 - a / b : 0) }')
            sed "s/}\$/, \"removed\": $removed}/" "$cell"
            sed "s/\"//g; s/^{type: \([^,]*\), method: \([^,]*\), bytes: \([^,]*\), ppl: \([^,]*\), kld: \([^,]*\), .*seconds: \([^,]*\), peak_mib: \([^}]*\)}/| \1 | \2 | \4 | \5 | $removed | \3 | \6 | \7 |/" \
                "$cell" >> "$work/ptq.md"
        done < <(printf '%s,' "$methods")
    done
done
