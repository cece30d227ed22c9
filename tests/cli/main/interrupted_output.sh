# Nothing is left of an output that was stopped.
mkdir dir
code=0; timeout --preserve-status -s TERM 0.15 "$EDGELLM" quantize -t 1 "$B" dir/o.gguf Q4_K_M > out 2> err || code=$?
[ "$code" -eq 143 ] || [ "$code" -eq 0 ] || fail "exit code $code"
# The signal may come when the file is in its place and the process not yet at its end: then it is whole, and all there is.
if [ "$code" -ne 0 ] && [ -n "$(ls -A dir)" ]; then
    is "$(ls -A dir)" o.gguf
    el verify dir/o.gguf
fi
