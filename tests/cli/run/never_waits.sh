code=0
timeout 20 script -qec "$(printf '%q run -m %q' "$EDGELLM" "$M")" /dev/null > out || code=$?
is "$code" 2
has out 'no prompt'
# An empty prompt begins with BOS.
el run -m "$M" --temp 0 -n 8 "" 
[ -s out ] || fail "no text"
cp out first
el run -m "$M" --temp 0 -n 8 && same out first
el run -m "$M" --temp 0 -n 8 --override-kv tokenizer.ggml.add_bos_token=bool:false "" && same out first
