#!/bin/bash
# ShiftAddLLM's claim (arXiv:2406.05981, section 4.3) in small: bits that are mixed by their sensitivity, 2.2 on average, against 2 bits
# everywhere; the same group encodings and the same method in both. One JSON object a line on stdout; exit status 1 where the mixed one has
# not at least 25 % less divergence, or a higher perplexity.
#   shiftadd.sh EDGELLM MODEL CALIBRATION JUDGED WORK
# CALIBRATION: a text to calibrate and to measure choices on; JUDGED: another one. WORK: a folder for what is made. Environment:
#   TYPES    to choose from (G2_128Z G3_128Z G4_128Z), the first of them everywhere in the uniform one; EDGE: embedding and output (Q8_0)
#   MORE     bits per weight more than the uniform one has in the matrices between (0.2)
#   TOKENS   of calibration (131072); WINDOWS of 512 tokens that are judged (24)
set -u
[ $# -ge 5 ] || { sed -n 's/^#   shiftadd/usage: shiftadd/p' "$0" >&2; exit 2; }
edgellm=$1 model=$2 text=$3 judged=$4 work=$5
types=${TYPES:-G2_128Z,G3_128Z,G4_128Z} edge=${EDGE:-Q8_0}
tokens=${TOKENS:-131072} windows=${WINDOWS:-24}
stats=$work/stats-$tokens.gguf
mkdir -p "$work"
[ -e "$stats" ] || "$edgellm" calibrate -q --process-output -c 512 --chunks $((tokens / 512)) -o "$stats" "$model" "$text" || exit 1

field() { sed -n 's/.*"'"$1"'": \([0-9.e+-]*\).*/\1/p' "$2" | head -n 1; }
judge() { # NAME FILE
    "$edgellm" eval kld -m "$2" --base "$model" -f "$judged" -c 512 --chunks "$windows" --json -q > "$work/judged" || exit 1
    "$edgellm" eval ppl -m "$2" -f "$judged" -c 512 --chunks "$windows" --json -q > "$work/ppl" || exit 1
    printf '{"file": "%s", "bytes": %s, "kld": %s, "ppl": %s}\n' "$1" "$(stat -c %s "$2")" "$(field kld_mean "$work/judged")" \
        "$(field ppl "$work/ppl")" | tee -a "$work/shiftadd.jsonl"
}
rm -f "$work/shiftadd.jsonl"
"$edgellm" quantize -q --force --pure --method gptq --stats "$stats" --token-embedding-type "$edge" "$model" "$work/uniform.gguf" "${types%%,*}" || exit 1
judge "${types%%,*} everywhere" "$work/uniform.gguf"
# What the target allows all tensors: the uniform file's, and so much more for the matrices between.
"$edgellm" quantize --dry-run --json -q --pure --method gptq --stats "$stats" --token-embedding-type "$edge" "$model" "${types%%,*}" > "$work/dry" || exit 1
bpw=$(awk -F'[:,]' -v more="${MORE:-0.2}" -v type="${types%%,*}" '
    /"n_params"/ { n = $2 }
    /"nbytes_after"/ { if (!all) all = $2; nbytes = $2 }
    /"to"/ { gsub(/[ "]/, "", $2); to = $2 }
    /"bits_per_weight"/ && to == type { mine += 8 * nbytes / $2 }
    END { printf "%.6f", (8 * all + more * mine) / n }' "$work/dry")
for how in hessian shiftadd; do
    "$edgellm" quantize -q --force --stats "$stats" -f "$text" --chunks $((tokens / 512)) --types "$types,$edge" \
        --token-embedding-type "$edge" --max-type "blk=${types##*,}" --sensitivity "$how" --target-bpw "$bpw" "$model" "$work/mixed-$how.gguf" || exit 1
    judge "mixed by $how" "$work/mixed-$how.gguf"
done
awk -F'"kld": |"ppl": ' 'NR == 1 { kld = $2 + 0; ppl = $3 + 0 } NR == 2 { exit !($2 + 0 <= 0.75 * kld && $3 + 0 < ppl) }' "$work/shiftadd.jsonl"
