S=$EL_TEST_DATA/../../../shared/data
[ -d "$S" ] || skip "no ../shared"
for t in "$S/models/stories260K/tok512.bin" "$S/models/stories260K/stories260K.gguf" "$S/models/stories260K/stories260K.bin"; do
    el tokenize -m "$t" --tokenizer "$S/models/stories260K/tok512.bin" "Once upon a time"
    is "$(cat out)" "403 407 261 378"
done
V=$S/tokenizers/ggml-vocab/ggml-vocab-gpt-2.gguf
el tokenize -m "$V" "Hello world"
is "$(cat out)" "15496 995"
el info "$V"
has out '0 tensors'
el verify "$V"
rc 8 "$EDGELLM" quantize "$V" o.gguf Q8_0
code=0; "$EDGELLM" run -m "$V" hello > out 2> err || code=$?
[ "$code" -eq 3 ] || [ "$code" -eq 8 ] || fail "exit code $code for a file without weights"
