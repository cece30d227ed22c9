#!/bin/bash
# How well losses of choices and of plans are predicted, by the ways that `quantize --sensitivity` has. One JSON object a line on stdout;
# exit status 1 where Kendall's tau of the scaled Hessian error is below 0.9, over all (matrix, type) pairs or over the plans.
#   choices.sh EDGELLM CHOICES MODEL CALIBRATION JUDGED WORK
# CHOICES: build/tools/choices (make tools). CALIBRATION, JUDGED: texts, to make the statistics of and to measure divergences on.
# WORK: a folder for what is made. Environment:
#   TYPES    to choose from (Q2_K to Q8_0), MIDDLE: the one at which errors are scaled (Q4_K)
#   TOKENS   of calibration (131072); WINDOWS of 512 tokens that are judged (4); POSITIONS of each that count (128)
#   PLANS    random ones (50), of LOW (2.5) to HIGH (5) bits per weight
set -u
[ $# -ge 6 ] || { sed -n 's/^#   choices/usage: choices/p' "$0" >&2; exit 2; }
edgellm=$1 choices=$2 model=$3 text=$4 judged=$5 work=$6
tokens=${TOKENS:-131072} stats=$6/stats-${TOKENS:-131072}.gguf
types=${TYPES:-Q2_K,Q3_K,IQ4_XS,IQ4_NL,Q4_0,Q4_K,Q4_1,Q5_0,Q5_K,Q5_1,Q6_K,Q8_0}
mkdir -p "$work"
[ -e "$stats" ] || "$edgellm" calibrate -q --process-output -c 512 --chunks $((tokens / 512)) -o "$stats" "$model" "$text" || exit 1
"$choices" "$model" "$stats" "$judged" "${WINDOWS:-4}" "${POSITIONS:-128}" "${MIDDLE:-Q4_K}" "$types" "${PLANS:-50}" "${LOW:-2.5}" "${HIGH:-5}" |
    tee "$work/choices.jsonl"
[ "${PIPESTATUS[0]}" -eq 0 ] || exit 1
awk -F'"tau_of_choices": |"tau_of_plans": ' '/"hessian, scaled"/ { exit !($2 + 0 >= 0.9 && $3 + 0 >= 0.9) }' "$work/choices.jsonl"
