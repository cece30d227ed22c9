rc 4 "$EDGELLM" run -m nofile x
rc 4 "$EDGELLM" run -m /dev/null x
head -c 100000 "$M" > cut.gguf
rc 3 "$EDGELLM" run -m cut.gguf x
has err 'cut.gguf'
head -c 20 "$M" > short.gguf
rc 3 "$EDGELLM" run -m short.gguf x
code=0; "$EDGELLM" run -m "$B/tokenizer.json" x > out 2> err || code=$?
[ "$code" -eq 8 ] || [ "$code" -eq 3 ] || fail "exit code $code for a model without weights"
rc 3 "$EDGELLM" run -m "$M" --override-kv llama.block_count=int:9 x
rc 3 "$EDGELLM" run -m "$M" --override-kv llama.attention.head_count=int:0 x
mkdir folder
code=0; "$EDGELLM" run -m folder x > out 2> err || code=$?
[ "$code" -eq 3 ] || [ "$code" -eq 8 ] || [ "$code" -eq 4 ] || fail "exit code $code for an empty folder"
one_line err
