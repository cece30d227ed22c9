el eval ppl -m "$M" -f "$T" --chunks 2 --json
is "$(json n_tokens)" 510
is "$(json n_windows)" 2
is "$(json ctx)" 512
is "$(json bos)" true
is "$(json protocol)" '"llama.cpp"'
is "$(json type_k)" '"f16"'
is "$(json type_v)" '"f16"'
is "$(json data_sha256)" "\"$(sha256sum < "$T" | cut -d' ' -f1)\""
is "$(json model_sha256)" "\"$(sha256sum < "$M" | cut -d' ' -f1)\""
for k in nll ppl ppl_stderr bits_per_byte; do has out "\"$k\": [0-9]"; done
near "$(json ppl)" "$(awk -v n="$(json nll)" 'BEGIN { print exp(n) }')" 1e-5
cp out first
# Nothing but time depends on threads and batches.
for o in "-t 1" "-t 3" "-b 1024" "-b 100" "--batch 7" "--batch-size 2048 -t 2" "--protocol llama.cpp -c 512" "--ctx 512" "--ctx-size 512"; do
    # shellcheck disable=SC2086
    el eval ppl -m "$M" -f "$T" --chunks 2 --json $o
    same out first
done
"$EDGELLM" eval ppl --model "$M" --file - --chunks 2 --json < "$T" > out
same out first
el eval ppl -m "$M" -f "$T" --max-tokens 1100 --json
same out first
el eval ppl -m "$M" -f "$T" --chunks 2
has out '^Final estimate: PPL = [0-9.]* +/- [0-9.]*$'
has out 'protocol llama.cpp: 2 windows of 512 tokens, BOS first'
has out 'data sha256'
empty err
