el eval ppl -m "$M" -f "$T" --protocol gptq -c 256 --chunks 2 --json
is "$(json n_tokens)" 510
is "$(json bos)" false
is "$(json protocol)" '"gptq"'
el eval ppl -m "$M" -f "$T" --protocol gptq --chunks 1 --json
is "$(json ctx)" 2048
has err 'the model was trained for 512'
el eval ppl -q -m "$M" -f "$T" --protocol gptq --chunks 1 --json
empty err
# The same by hand: one window, every token but the first.
el eval ppl -m "$M" -f "$T" --protocol gptq -c 64 --chunks 1 --json && nll=$(json nll)
"$EDGELLM" tokenize -m "$M" -f "$T" | cut -d' ' -f1-64 > ids
el eval logits -m "$M" --tokens ids -o l.safetensors
is "$(json n_tokens)" ""
awk -v n="$nll" 'BEGIN { exit !(n > 1 && n < 12) }' || fail "nll $nll"
