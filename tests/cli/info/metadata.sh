el info --metadata tokenizer.ggml.tokens "$Q"
is "$(wc -l < out)" 4096
el info --metadata tokenizer.huggingface.json "$Q"
head -c "$(stat -c %s "$B/tokenizer.json")" out > whole
same whole "$B/tokenizer.json"
rc 2 "$EDGELLM" info --metadata no.such.key "$Q"
has err "no metadata 'no.such.key'"
rc 2 "$EDGELLM" info --tensors --metadata x "$Q"
