#!/bin/bash
# What planted outliers cost, and what methods win back of that: 4 channels of every norm's outcome times 50, the columns that read them
# divided by 50, which is the same function. KLD on a text against the model without them, as JSONL. All matrices but the embedding.
#   outliers.sh EDGELLM PLANT_OUTLIERS MODEL CALIBRATION TEXT WORK [CHUNKS=24]
# PLANT_OUTLIERS: build/tools/plant_outliers (`make tools`). WORK: a folder for files.
set -eu
[ $# -ge 6 ] || { echo "usage: outliers.sh EDGELLM PLANT_OUTLIERS MODEL CALIBRATION TEXT WORK [CHUNKS]" >&2; exit 2; }
x=$1 plant=$2 model=$3 calibration=$4 text=$5 w=$6 chunks=${7:-24}
mkdir -p "$w"
"$x" convert -q --force --type f32 "$model" "$w/plain.gguf"
cp "$w/plain.gguf" "$w/planted.gguf"
"$plant" "$w/planted.gguf" factor=50 channels=4 >&2
for m in plain planted; do [ -e "$w/$m.stats" ] || "$x" calibrate -q --force --chunks 128 -o "$w/$m.stats" "$w/$m.gguf" "$calibration"; done

# kld MODEL TYPE METHOD [options of eval]
kld() {
    local m=$1 type=$2 method=$3
    shift 3
    "$x" quantize -q --force --pure --token-embedding-type F16 --output-tensor-type F16 --stats "$w/$m.stats" --method "$method" "$w/$m.gguf" "$w/q.gguf" "$type" 2>&1 | { grep -v ^fallback: >&2 || true; }
    "$x" eval kld -q -m "$w/q.gguf" --base "$w/plain.gguf" -f "$text" --chunks "$chunks" --json "$@" |
        sed -n 's/^  "kld_mean": \([^,]*\),*$/\1/p'
}

# compare TYPE "METHODS" [options of eval]
compare() {
    local type=$1 methods=$2 plain planted m k
    shift 2
    plain=$(kld plain "$type" rtn "$@") planted=$(kld planted "$type" rtn "$@")
    for m in rtn $methods; do
        k=$planted
        [ "$m" = rtn ] || k=$(kld planted "$type" "$m" "$@")
        awk -v t="$type" -v m="$m" -v o="$*" -v a="$plain" -v b="$planted" -v k="$k" 'BEGIN {
            printf "{\"type\": \"%s\", \"eval\": \"%s\", \"method\": \"%s\", \"kld_plain_rtn\": %g, \"kld_planted_rtn\": %g, \"kld\": %g, \"won_back\": %.3f}\n",
                t, o, m, a, b, k, (b - k) / (b - a) }'
    done
}

for type in Q4_0 G3_128; do compare "$type" "awq+rtn awq gptq quarot"; done
for how in "--act-bits 8 --act-granularity token" "--act-bits 8 --act-granularity block"; do
    # shellcheck disable=SC2086
    for type in Q8_0 G8_ROW; do compare "$type" "smoothquant quarot awq+rtn" $how; done
done
