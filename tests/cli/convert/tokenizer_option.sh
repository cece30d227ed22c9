S=$EL_TEST_DATA/../../../shared/data/models/stories260K
[ -d "$S" ] || skip "no ../shared"
cp "$S/stories260K.bin" m.bin
cp "$S/tok512.bin" t.bin
el convert --tokenizer t.bin m.bin o.gguf
el tokenize -m o.gguf --add-special "Once upon a time"
is "$(cat out)" "1 403 407 261 378"
el tokenize -m m.bin --tokenizer t.bin "Once upon a time"
is "$(cat out)" "403 407 261 378"
el quantize --tokenizer t.bin m.bin q.gguf Q8_0
el tokenize -m q.gguf "Once upon a time"
is "$(cat out)" "403 407 261 378"
el info --tokenizer t.bin m.bin
has out 'tokenizer.ggml.tokens'
el verify --tokenizer t.bin m.bin
el run -m m.bin --tokenizer t.bin --temp 0 -n 8 "Once upon a time"
is "$(cat out)" ", there was a little girl"
# A tokenizer of another kind: the file that tokenizer.bin was made of.
cp "$S/tok512.model" t.model
el run -m m.bin --tokenizer t.model --temp 0 -n 8 "Once upon a time"
is "$(cat out)" ", there was a little girl"
el convert --tokenizer t.model m.bin p.gguf
el tokenize -m p.gguf --add-special "Once upon a time"
is "$(cat out)" "1 403 407 261 378"
el eval ppl -m m.bin --tokenizer t.bin --protocol documents -f "$S/../../text/tinystories/tinystories_sample.txt" --json -ctk f32 -ctv f32
near "$(json nll)" 1.2664 0.00005
is "$(json n_tokens)" 1804
el eval kld -m m.bin --base "$S/checkpoint_v1.bin" --tokenizer t.bin -f "$S/../../text/tinystories/tinystories_sample.txt" -c 128 --json
awk -v k="$(json kld_mean)" 'BEGIN { exit !(k < 1e-9) }' || fail "the same weights differ"
