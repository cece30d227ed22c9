#!/bin/bash
# Runs the comparisons and records them: one scripts/results/NAME.jsonl each, with the command line that made it.
#   all.sh EDGELLM LLAMA_CPP_BIN ORACLE SHARED WORK [NAME ...]
# LLAMA_CPP_BIN: folder of llama.cpp's programs. ORACLE: a program that is not part of this repository, called as
#   ORACLE MODEL.gguf IDS OUT.f32 [window=N] [kv=f32|f16] [threads=N]
# that writes the peer's logits of all positions as raw float32 [n, vocab]; IDS is text, each window a fresh sequence. SHARED: the folder with data/models and data/text.
# WORK: a folder for files that llama.cpp makes, kept from run to run. NAME: only these. PYTHON names the interpreter (requirements.txt).
set -u
[ $# -ge 5 ] || { echo "usage: all.sh EDGELLM LLAMA_CPP_BIN ORACLE SHARED WORK [NAME ...]" >&2; exit 2; }
edgellm=$(realpath "$1") peer=$(realpath "$2") oracle=$(realpath "$3") shared=$(realpath "$4") work=$(realpath "$5")
shift 5
only=" $* "
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
python=${PYTHON:-python3}
cpu=$(awk -F': *' '/^model name/ { print $2; exit }' /proc/cpuinfo)
books=$shared/data/text/books
types="Q8_0 Q4_0 Q4_K_S Q4_K_M Q6_K"
# What else llama-quantize writes; for the types that it makes only with an importance matrix, llama-imatrix makes one.
more="Q4_1 Q5_0 Q5_1 Q2_K Q2_K_S Q3_K_S Q3_K_M Q3_K_L Q5_K_S Q5_K_M IQ4_NL IQ4_XS TQ1_0 TQ2_0 Q2_0 Q1_0 MXFP4_MOE
    IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S IQ2_M IQ3_XXS IQ3_XS IQ3_S IQ3_M"
made="Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4 Q2_0 Q1_0" # encodings that edgellm makes by a search
failed=

prepare() { # the files of llama.cpp
    local m t
    mkdir -p "$work/4m" "$work/moe" "$work/cache"
    for m in 4m moe; do
        [ -e "$work/$m/F16.gguf" ] || ln -s "$shared/data/models/books-$m/books-$m-f16.gguf" "$work/$m/F16.gguf"
        [ -e "$work/$m/F32.gguf" ] || "$peer/llama-quantize" "$work/$m/F16.gguf" "$work/$m/F32.gguf" F32 2 > "$work/log" 2>&1 || return 1
        for t in $types; do
            [ -e "$work/$m/$t.gguf" ] || "$peer/llama-quantize" "$work/$m/F32.gguf" "$work/$m/$t.gguf" "$t" 2 > "$work/log" 2>&1 || return 1
        done
    done
    [ -s "$work/ids.txt" ] || "$peer/llama-tokenize" -m "$work/4m/F32.gguf" -f "$books/books_test.txt" --ids --no-bos 2> "$work/log" |
        tr -d '[],' | tr -s ' ' '\n' | grep . | head -n 2048 > "$work/ids.txt"
}

prepare_more() {
    local m t
    for m in 4m moe; do
        [ -e "$work/$m/imatrix.gguf" ] || "$peer/llama-imatrix" -m "$work/$m/F32.gguf" -f "$books/books_valid.txt" -c 512 --chunks 20 -t 2 \
            -o "$work/$m/imatrix.gguf" > "$work/log" 2>&1 || return 1
        for t in $more; do
            [ -e "$work/$m/$t.gguf" ] || "$peer/llama-quantize" --imatrix "$work/$m/imatrix.gguf" "$work/$m/F32.gguf" "$work/$m/$t.gguf" "$t" 2 \
                > "$work/log" 2>&1 || return 1
        done
    done
}

prepare_random() { # a model of 160M parameters and 32,000 tokens
    local t
    [ -e "$work/m160.gguf" ] ||
        "${MAKE_MODEL:-$root/build/tools/make_model}" "$work/m160.gguf" layers=12 embd=768 heads=12 kv=12 ff=2048 vocab=32000 || return 1
    for t in Q4_K_M Q8_0; do
        "$edgellm" quantize --force "$work/m160.gguf" "$work/m160-$t.gguf" "$t" > "$work/log" 2>&1 || return 1
    done
}

begin() { # NAME: is it wanted?
    name=$1
    [ "$only" = "  " ] || [[ "$only" == *" $name "* ]] || return 1
    out=$root/scripts/results/$name.jsonl
    : > "$out.new"
    echo "== $name" >&2
}

shown() { # the command line with base names, as JSON text
    local a s=
    for a in "$@"; do
        case $a in
        */*=*) ;;
        *=/*) a=${a%%=*}=${a##*/} ;;
        /*) a=${a##*/} ;;
        esac
        s="$s${s:+ }$a"
    done
    printf '%s' "$s" | sed 's/[\\"]/\\&/g'
}

say() { # SCRIPT ARGUMENTS ...: runs it and appends what it prints
    local script=$1
    shift
    printf '{"command": "%s", "cpu": "%s", "cores": %d}\n' "$(shown "$script" "$@")" "$cpu" "$(nproc)" >> "$out.new"
    case $script in
    *.py) "$python" "$here/$script" "$@" ;;
    *) "$here/$script" "$@" ;;
    esac | tee -a "$out.new" >&2
    [ "${PIPESTATUS[0]}" = 0 ] || failed="$failed $name"
}

end() { mv "$out.new" "$out"; }

models() { # FOLDER NAME ...: NAME=FOLDER/NAME.gguf ...
    local d=$1 n
    shift
    for n in "$@"; do echo "$n=$d/$n.gguf"; done
}

prepare || { cat "$work/log" >&2; exit 1; }

if begin stories; then
    say stories.py "$edgellm" "$shared/data/models/stories260K" "$shared/data/text/tinystories"
    end
fi
if begin reference; then
    for m in 4m moe; do
        f=$shared/data/models/books-$m
        say reference.py "$edgellm" "$f/reference" "$f" "$f/books-$m-f16.gguf" --model-name books-$m
    done
    end
fi
if begin divergence; then
    for m in 4m moe; do
        # shellcheck disable=SC2046,SC2086
        say divergence.py "$edgellm" "$oracle" "$work/ids.txt" $(models "$work/$m" F32 F16 $types) --model-name books-$m
    done
    end
fi
if begin perplexity; then
    for text in test valid; do
        # shellcheck disable=SC2046
        say perplexity.py "$edgellm" "$peer/llama-perplexity" "$books/books_$text.txt" $(models "$work/4m" F32) --cache "$work/cache"
        # shellcheck disable=SC2046,SC2086
        say perplexity.py "$edgellm" "$peer/llama-perplexity" "$books/books_$text.txt" $(models "$work/4m" F16 $types) --kv f16 \
            --cache "$work/cache"
    done
    end
fi
if begin fixtures; then
    say fixtures.py "$edgellm" "$oracle" "$peer/llama-tokenize" "$root/tests/data/fixtures" "$books/books_test.txt"
    end
fi
if begin decoders; then
    prepare_more || { cat "$work/log" >&2; exit 1; }
    for m in 4m moe; do
        # shellcheck disable=SC2046,SC2086
        say decoders.py "$edgellm" $(printf "$work/$m/%s.gguf " F16 $types $more) --llama-quantize "$peer/llama-quantize"
    done
    end
fi
if begin mixes; then
    say mixes.py "$edgellm" "$peer/llama-quantize" "${MAKE_MODEL:-$root/build/tools/make_model}" "$work/4m/F16.gguf" "$work/moe/F16.gguf"
    end
fi
if begin errors; then
    for m in 4m moe; do
        # shellcheck disable=SC2086
        say quantize_error.py "$edgellm" "$peer/llama-quantize" "$work/$m/F32.gguf" $made --model-name books-$m
    done
    "${MAKE_MODEL:-$root/build/tools/make_model}" "$work/random.gguf" layers=4 embd=512 heads=8 kv=4 ff=1536 vocab=2048 type=f32
    # shellcheck disable=SC2086
    say quantize_error.py "$edgellm" "$peer/llama-quantize" "$work/random.gguf" $made --model-name random
    end
fi
if begin ternary; then
    "${MAKE_MODEL:-$root/build/tools/make_model}" "$work/random.gguf" layers=4 embd=512 heads=8 kv=4 ff=1536 vocab=2048 type=f32
    for m in 4m/F32:books-4m moe/F32:books-moe random:random; do
        say ternary.py "$edgellm" "$peer/llama-quantize" "$work/${m%:*}.gguf" --model-name "${m#*:}"
    done
    end
fi
if begin quantize_ppl; then
    say quantize_ppl.py "$edgellm" "$peer/llama-quantize" "$peer/llama-perplexity" "$books/books_test.txt" "$work/4m/F32.gguf" \
        Q8_0 Q6_K Q5_K_S Q5_1 Q5_0 Q4_K_S Q4_1 Q4_0 IQ4_NL IQ4_XS MXFP4 Q3_K Q2_K Q2_0 --cache "$work/cache"
    end
fi
if begin speed; then
    # On a machine that does nothing else. LLAMA_BENCH_IK: the llama-bench of ik_llama.cpp, where there is one.
    prepare_random || exit 1
    say speed.sh quantize "$edgellm" "$peer/llama-quantize" "$work/m160.gguf" random-160m 2 5 Q8_0 Q4_0 Q4_K_M Q6_K
    peers=(-P llama_cpp="$peer/llama-bench" -A '-fa 0' -A '-fa 1')
    [ -z "${LLAMA_BENCH_IK:-}" ] || peers+=(-P ik_llama_cpp="$LLAMA_BENCH_IK" -A '-fa 0' -A '-fa 1' -A '-rtr 1')
    say speed.sh run "$edgellm" -r 5 -t 2 -p 512 -n 128 "${peers[@]}" \
        random-160m:Q8_0="$work/m160-Q8_0.gguf" random-160m:Q4_K_M="$work/m160-Q4_K_M.gguf"
    end
fi
if begin grammars; then
    say grammars.py "$edgellm" "$shared/data/models/stories260K/stories260K.gguf" "$root/tests/data/grammar"
    end
fi
if begin grammar_speed; then
    prepare_random || exit 1
    say grammar_speed.py "$edgellm" "$work/m160-Q4_K_M.gguf" "$root/tests/data/grammar"
    end
fi
if begin parallel; then
    prepare_random || exit 1
    say parallel.py "$edgellm" "$books/books_test.txt" Q4_K_M="$work/m160-Q4_K_M.gguf" Q8_0="$work/m160-Q8_0.gguf"
    end
fi
if begin roundtrips; then
    for m in 4m moe; do
        f=$shared/data/models/books-$m
        say roundtrips.py "$edgellm" "$oracle" "$f" --gguf "$f/books-$m-f16.gguf" --ids "$work/ids.txt"
    done
    end
fi
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
