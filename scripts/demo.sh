#!/usr/bin/env bash
# `make demo`: a real model, made smaller, measured, and writing. Everything is done by the commands that are shown.
set -eu
cd "$(dirname "$0")/.."
dir=build/demo
mkdir -p $dir
model=tests/data/books-4m
text=tests/data/text/secret-garden.txt
say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }
[ -t 1 ] || say() { printf '\n$ %s\n' "$*"; "$@"; }

echo "books-4m: a language model of 5 million parameters, trained on public-domain books (tests/data/books-4m/README.md)."
say ./edgellm convert --force -q $model $dir/books-4m-bf16.gguf
for type in Q8_0 Q6_K Q4_K_M Q4_0 G3_32; do
    say ./edgellm quantize --force -q $model $dir/books-4m-$type.gguf $type
done

# The part of The Secret Garden that is bundled: held out from training.
field() { sed -n "s/^.*\"$1\": *\([-0-9.e+]*\).*/\1/p" | head -n 1; }
printf '\n%-10s %12s %8s %10s %12s %10s\n' type bytes 'bits/w' perplexity 'mean KLD' 'same top'
size=$(stat -c %s $dir/books-4m-bf16.gguf)
ppl=$(./edgellm eval ppl -m $dir/books-4m-bf16.gguf -f $text --json 2> /dev/null | tr ',' '\n' | field ppl)
printf '%-10s %12d %8s %10.4f %12s %10s\n' BF16 "$size" 16.00 "$ppl" - -
for type in Q8_0 Q6_K Q4_K_M Q4_0 G3_32; do
    file=$dir/books-4m-$type.gguf
    json=$(./edgellm eval kld -m $file --base $dir/books-4m-bf16.gguf -f $text --json 2> /dev/null | tr ',' '\n')
    bpw=$(./edgellm info --json $file | tr ',' '\n' | field bits_per_weight)
    printf '%-10s %12d %8.2f %10.4f %12.6f %9.2f%%\n' $type "$(stat -c %s $file)" "$bpw" "$(echo "$json" | field ppl)" \
        "$(echo "$json" | field kld_mean)" "$(echo "$json" | field same_top | awk '{ print 100 * $1 }')"
done
echo "perplexity and divergence: $text, windows of 512 without overlap, second half scored (llama.cpp's protocol)"

say ./edgellm run -m $dir/books-4m-Q4_K_M.gguf -p "The children went down to the" -n 60 --seed 7
