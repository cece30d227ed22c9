# Nothing is left of an output that was stopped.
mkdir dir
code=0; timeout --preserve-status -s TERM 0.15 "$EDGELLM" quantize -t 1 "$B" dir/o.gguf Q4_K_M > out 2> err || code=$?
[ "$code" -eq 143 ] || [ "$code" -eq 0 ] || fail "exit code $code"
[ "$code" -eq 0 ] || [ -z "$(ls -A dir)" ] || fail "files are left: $(ls -A dir)"
