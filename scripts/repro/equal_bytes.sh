#!/bin/bash
# Quality at equal bytes: what our methods and llama-quantize with an importance matrix of the same text lose. One JSON object a line on
# stdout; exit status 1 where the best method of a type is above LIMIT (0.75) of llama-quantize's mean KLD, or types or sizes differ.
#   equal_bytes.sh EDGELLM MODEL CALIBRATION JUDGED WORK [LLAMA_CPP_BIN]
# CALIBRATION, JUDGED: texts. WORK: a folder for what is made, kept from run to run. Without LLAMA_CPP_BIN only our methods, by our own
# `eval kld`; with it llama-perplexity judges both sides. Environment:
#   TYPES    what is made: encodings, all matrices alike but embedding and output (Q4_K Q3_K Q2_K), and
#   MIXES    mixes by their rules, in which ours and llama-quantize's are the same (Q4_K_M Q3_K_M Q2_K)
#   METHODS  separated by commas, each with its options; "again NAME": the same once more, calibrated on what that file's layers give
#   EDGE     type of embedding and output where TYPES are made (Q8_0)
#   TOKENS   of calibration (131072); WINDOWS of 512 tokens that are judged (24)
set -u
[ $# -ge 5 ] || { sed -n 's/^#   equal_bytes/usage: equal_bytes/p' "$0" >&2; exit 2; }
edgellm=$(realpath "$1") model=$(realpath "$2") text=$(realpath "$3") judged=$(realpath "$4")
mkdir -p "$5"
work=$(realpath "$5") peer=${6:+$(realpath "$6")}
types=${TYPES-Q4_K Q3_K Q2_K} mixes=${MIXES-Q4_K_M Q3_K_M Q2_K} edge=${EDGE:-Q8_0}
methods=${METHODS-search,imatrix,mse,hqq,adaround,gptq --no-descent,gptq,again gptq}
tokens=${TOKENS:-131072} windows=${WINDOWS:-24} limit=${LIMIT:-0.75} threads=${THREADS:-2}
log=$work/log failed=
key=$tokens-$windows

quiet() { # COMMAND ...: its output only where it fails; two files, as llama.cpp writes to both by two threads
    "$@" > "$log" 2> "$log.err" || { echo "failed: $*" >&2; cat "$log" "$log.err" >&2; exit 1; }
}

made() { # FILE COMMAND ... with the word FILE: unless it is there
    local file=$1
    shift
    [ -e "$file" ] || { rm -f "$work/new.gguf"; quiet "${@//FILE/$work/new.gguf}"; mv "$work/new.gguf" "$file"; }
}

# Some runs of llama-perplexity end before its log's thread has written the summary: they are made again.
mean_kld() { # FILE
    local found=
    [ -n "$peer" ] || { our_kld "$1"; return; }
    for _ in 1 2 3 4 5 6; do
        quiet "$peer/llama-perplexity" -m "$1" -f "$judged" -c 512 -b 512 --chunks "$windows" -t "$threads" \
            --kl-divergence --kl-divergence-base "$work/base-$windows.kld"
        found=$(awk '/^Mean +KLD:/ { print $3, $5 }' "$log")
        [ -z "$found" ] || break
    done
    [ -n "$found" ] || { echo "no mean KLD in what llama-perplexity says of $1" >&2; exit 1; }
    echo "$found"
}

our_kld() { # FILE
    quiet "$edgellm" eval kld -m "$1" --base "$work/f32.gguf" -f "$judged" -c 512 --chunks "$windows" -t "$threads" --json -q
    sed -n 's/.*"kld_mean": \([0-9.e+-]*\).*/\1/p; s/.*"kld_mean_stderr": \([0-9.e+-]*\).*/\1/p' "$log" | tr '\n' ' '
}

tensors() { # FILE: name and encoding of every tensor
    "$edgellm" info --tensors --json "$1" | tr -d '\n' | grep -o '{[^{}]*"name": "[^{}]*}' |
        sed 's/.*"name": "\([^"]*\)".*"encoding": "\([^"]*\)".*/\1 \2/' | sort
}

stats_again() { # PREVIOUS OUT
    made "$2" "$edgellm" calibrate -q -c 512 --chunks $((tokens / 512)) -t "$threads" --quantized "$1" --cross -o FILE "$model" "$text"
}

compare() { # LABEL TYPE ARGUMENTS ...: all methods for one type
    local label=$1 type=$2 theirs= method file said ours best= name
    shift 2
    if [ -n "$peer" ]; then
        file=$work/$label-peer-$key.gguf
        made "$file" "$peer/llama-quantize" --imatrix "$work/imatrix-$tokens.gguf" "$@" "$work/f32.gguf" FILE "$type" "$threads"
        tensors "$file" > "$work/types-peer"
        said=$(mean_kld "$file")
        theirs=${said% *}
        printf '{"type": "%s", "method": "llama-quantize", "bytes": %s, "kld": %s, "kld_stderr": %s}\n' "$label" \
            "$(stat -c %s "$file")" "$theirs" "${said#* }"
    fi
    while IFS= read -r -d , method; do
        local stats=$work/stats-$tokens.gguf args=$method
        name=$(tr -c 'a-z0-9.\n' _ <<< "$method")
        file=$work/$label-$name-$key.gguf
        if [ "${method#again }" != "$method" ]; then
            args=${method#again }
            stats=$work/stats-$label-$name-$tokens.gguf
            stats_again "$work/$label-$(tr -c 'a-z0-9.\n' _ <<< "$args")-$key.gguf" "$stats"
        fi
        # shellcheck disable=SC2086
        [ -e "$file" ] || { quiet "$edgellm" quantize -q --force "$@" --method $args --stats "$stats" -t "$threads" "$model" "$work/new.gguf" \
            "$type"; mv "$work/new.gguf" "$file"; }
        tensors "$file" > "$work/types-ours"
        if [ -n "$peer" ] && ! cmp -s "$work/types-ours" "$work/types-peer"; then
            echo "$label, $method: types differ" >&2
            diff "$work/types-ours" "$work/types-peer" >&2
            failed="$failed $label"
        fi
        said=$(mean_kld "$file")
        ours=${said% *}
        printf '{"type": "%s", "method": "%s", "bytes": %s, "kld": %s, "kld_stderr": %s, "ratio": %s}\n' "$label" "$method" \
            "$(stat -c %s "$file")" "$ours" "${said#* }" "$(awk -v a="$ours" -v b="${theirs:-0}" 'BEGIN { if (b > 0) printf "%.4f", a / b; else printf "null" }')"
        best=$(awk -v a="$ours" -v b="${best:-$ours}" 'BEGIN { print a < b ? a : b }')
    done < <(printf '%s,' "$methods")
    [ -z "$theirs" ] || awk -v a="$best" -v b="$theirs" -v limit="$limit" 'BEGIN { exit !(a <= limit * b) }' || failed="$failed $label"
}

made "$work/f32.gguf" "$edgellm" convert -q "$model" FILE --type f32
made "$work/stats-$tokens.gguf" "$edgellm" calibrate -q -c 512 --chunks $((tokens / 512)) -t "$threads" -o FILE "$model" "$text"
if [ -n "$peer" ]; then
    made "$work/imatrix-$tokens.gguf" "$peer/llama-imatrix" -m "$work/f32.gguf" -f "$text" -c 512 -b 512 --chunks $((tokens / 512)) \
        -t "$threads" -o FILE
    [ -e "$work/base-$windows.kld" ] || quiet "$peer/llama-perplexity" -m "$work/f32.gguf" -f "$judged" -c 512 -b 512 --chunks "$windows" \
        -t "$threads" --kl-divergence-base "$work/base-$windows.kld"
fi
for t in $types; do
    # llama-quantize knows Q3_K and Q4_K as mixes: _S with --pure is the type alone.
    case $t in Q3_K | Q4_K | Q5_K) mix=${t}_S ;; *) mix=$t ;; esac
    compare "$t" "$mix" --pure --token-embedding-type "$edge" --output-tensor-type "$edge"
done
for t in $mixes; do compare "mix-$t" "$t"; done
[ -z "$failed" ] || { echo "above $limit of llama-quantize, or not alike:$failed" >&2; exit 1; }
