#!/bin/bash
# What plans of a size lose, against the best file of one type (ours) and the best that llama-quantize makes of the same text's importance
# matrix: of those that are not smaller. One JSON object a line on stdout; exit status 1 where a plan is above 0.85 of our best uniform
# file, or above 0.7 of llama-quantize's.
#   targets.sh EDGELLM MODEL CALIBRATION JUDGED WORK [LLAMA_CPP_BIN]
# CALIBRATION: a text to calibrate and to measure choices on; JUDGED: another one. WORK: a folder for what is made, kept from run to run.
# With LLAMA_CPP_BIN llama-perplexity judges all files, else our own `eval kld`. Environment:
#   BITS     per weight of the plans (2.5 3.0 3.5 4.0 4.5)
#   UNIFORM  types of our files: all matrices alike (Q2_K Q3_K IQ4_XS Q4_0 IQ4_NL Q4_K Q4_1 Q5_0 Q5_K Q6_K)
#   PEERS    types of llama-quantize (all that it offers up to Q6_K)
#   TARGET   further options of quantize --target-bpw
#   TOKENS   of calibration (131072); WINDOWS of 512 tokens that are judged (24)
set -u
[ $# -ge 5 ] || { sed -n 's/^#   targets/usage: targets/p' "$0" >&2; exit 2; }
edgellm=$(realpath "$1") model=$(realpath "$2") text=$(realpath "$3") judged=$(realpath "$4")
mkdir -p "$5"
work=$(realpath "$5") peer=${6:+$(realpath "$6")}
bits=${BITS-2.5 3.0 3.5 4.0 4.5} uniform=${UNIFORM-Q2_K Q3_K IQ4_XS Q4_0 IQ4_NL Q4_K Q4_1 Q5_0 Q5_K Q6_K}
peers=${PEERS-IQ2_XXS IQ2_XS IQ2_S IQ2_M Q2_K_S Q2_K IQ3_XXS IQ3_XS IQ3_S IQ3_M Q3_K_S Q3_K_M Q3_K_L IQ4_XS IQ4_NL Q4_0 Q4_1 Q4_K_S Q4_K_M Q5_0 Q5_1 Q5_K_S Q5_K_M Q6_K}
tokens=${TOKENS:-131072} windows=${WINDOWS:-24} threads=${THREADS:-2}
log=$work/log chunks=$((tokens / 512)) failed=
# shellcheck disable=SC2206
more=(${TARGET:-})

quiet() { # COMMAND ...: its output only where it fails
    "$@" > "$log" 2>&1 || { echo "failed: $*" >&2; cat "$log" >&2; exit 1; }
}

made() { # FILE COMMAND ... with the word FILE: unless it is there
    local file=$1
    shift
    [ -e "$file" ] || { quiet "${@//FILE/$work/new.gguf}"; mv "$work/new.gguf" "$file"; }
}

kld_of() { # FILE
    if [ -n "$peer" ]; then
        quiet "$peer/llama-perplexity" -m "$1" -f "$judged" -c 512 -b 512 --chunks "$windows" -t "$threads" \
            --kl-divergence --kl-divergence-base "$work/base-$windows.kld"
        awk '/^Mean +KLD:/ { print $3 }' "$log"
    else
        quiet "$edgellm" eval kld -m "$1" --base "$work/f32.gguf" -f "$judged" -c 512 --chunks "$windows" -t "$threads" --json -q
        sed -n 's/.*"kld_mean": \([0-9.e+-]*\).*/\1/p' "$log"
    fi
}

tell() { # KIND NAME FILE: a line, and one in the list of the kind
    local kld nbytes
    kld=$(kld_of "$3")
    nbytes=$(stat -c %s "$3")
    printf '{"file": "%s %s", "bytes": %s, "kld": %s}\n' "$1" "$2" "$nbytes" "$kld"
    printf '%s %s %s\n' "$nbytes" "$kld" "$2" >> "$work/list-$1"
}

best() { # KIND BYTES: name and divergence of the best that is not smaller
    [ ! -e "$work/list-$1" ] || awk -v n="$2" '$1 >= n && (!found || $2 < kld) { found = 1; kld = $2; name = $3 } END { if (found) print name, kld }' \
        "$work/list-$1"
}

within() { # BITS KIND LIMIT OURS OTHER-NAME OTHER-KLD
    awk -v bits="$1" -v kind="$2" -v limit="$3" -v a="$4" -v name="$5" -v b="$6" 'BEGIN {
        printf "{\"bits\": %s, \"against\": \"%s %s\", \"kld\": %s, \"its_kld\": %s, \"ratio\": %.4f, \"allowed\": %s, \"pass\": %s}\n",
            bits, kind, name, a, b, a / b, limit, a <= limit * b ? "true" : "false"
        exit !(a <= limit * b)
    }' || failed="$failed $1:$2"
}

rm -f "$work"/list-*
made "$work/f32.gguf" "$edgellm" convert -q "$model" FILE --type f32
made "$work/stats-$tokens.gguf" "$edgellm" calibrate -q --process-output -c 512 --chunks "$chunks" -t "$threads" -o FILE "$model" "$text"
if [ -n "$peer" ]; then
    made "$work/imatrix-$tokens.gguf" "$peer/llama-imatrix" -m "$work/f32.gguf" -f "$text" -c 512 -b 512 --chunks "$chunks" \
        -t "$threads" --process-output -o FILE
    [ -e "$work/base-$windows.kld" ] || quiet "$peer/llama-perplexity" -m "$work/f32.gguf" -f "$judged" -c 512 -b 512 --chunks "$windows" \
        -t "$threads" --kl-divergence-base "$work/base-$windows.kld"
    for t in $peers; do
        made "$work/peer-$t.gguf" "$peer/llama-quantize" --imatrix "$work/imatrix-$tokens.gguf" "$work/f32.gguf" FILE "$t" "$threads"
        tell llama-quantize "$t" "$work/peer-$t.gguf"
    done
fi
for t in $uniform; do
    made "$work/uniform-$t.gguf" "$edgellm" quantize -q --pure --method gptq --stats "$work/stats-$tokens.gguf" -t "$threads" "$model" FILE "$t"
    tell uniform "$t" "$work/uniform-$t.gguf"
done
for b in $bits; do
    made "$work/plan-$b.gguf" "$edgellm" quantize -q --stats "$work/stats-$tokens.gguf" -f "$text" --chunks "$chunks" --target-bpw "$b" \
        -t "$threads" "${more[@]}" "$model" FILE
    tell plan "$b" "$work/plan-$b.gguf"
    read -r nbytes kld _ < <(tail -n 1 "$work/list-plan")
    for kind in uniform:0.85 llama-quantize:0.7; do
        read -r name other < <(best "${kind%:*}" "$nbytes") && within "$b" "${kind%:*}" "${kind#*:}" "$kld" "$name" "$other"
    done
done
[ -z "$failed" ] || { echo "above what is allowed:$failed" >&2; exit 1; }
