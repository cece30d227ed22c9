el eval ppl -m "$M" -f "$T" --chunks 1 --json && a=$(json ppl)
el eval ppl -m "$M" -f "$T" --chunks 1 --json --override-kv tokenizer.ggml.add_bos_token=bool:false
is "$(json bos)" false
[ "$(json ppl)" != "$a" ] || fail "the override has no effect"
