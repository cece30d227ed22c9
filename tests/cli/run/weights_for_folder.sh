# The weights of a Hugging Face folder stand for the folder where config.json is beside them.
mkdir sub
cp "$B"/*.json "$B"/model.safetensors sub/
el run -m sub --temp 0 -n 5 "The garden"
mv out a
el run -m sub/model.safetensors --temp 0 -n 5 "The garden"
same out a
(cd sub && "$EDGELLM" run -m model.safetensors --temp 0 -n 5 "The garden") > b
same a b
el tokenize -m sub/model.safetensors "Hello world"
is "$(cat out)" "40 424 79 959"
el verify sub/model.safetensors
is "$(cat out)" "sub: ok"
el convert sub a.gguf
el convert sub/model.safetensors b.gguf
same a.gguf b.gguf
el quantize sub qa.gguf Q8_0
el quantize sub/model.safetensors qb.gguf Q8_0
same qa.gguf qb.gguf
el bench -m sub -p 2 -n 0 -r 1 --sha256 --json
grep sha256 out > a
el bench -m sub/model.safetensors -p 2 -n 0 -r 1 --sha256 --json
same a <(grep sha256 out)
head -c 4000 "$T" > text
el eval ppl -m sub -f text -c 64
mv out a
el eval ppl -m sub/model.safetensors -f text -c 64
same out a
# A shard too.
el run -m "$EL_TEST_DATA/fixtures/llama-sharded" --temp 0 -n 4 a
mv out a
el run -m "$EL_TEST_DATA/fixtures/llama-sharded/model-00002-of-00003.safetensors" --temp 0 -n 4 a
same out a
# Into safetensors it is the file, with the names it has.
el convert sub/model.safetensors copy.safetensors
same copy.safetensors sub/model.safetensors
# A file of another name, or without config.json, is weights alone.
mv sub/model.safetensors sub/other.safetensors
rc 3 "$EDGELLM" run -m sub/other.safetensors x
has err "the folder with their config.json is a model"
mkdir bare
mv sub/other.safetensors bare/model.safetensors
rc 3 "$EDGELLM" bench -m bare/model.safetensors -p 1 -n 0
has err "the folder with their config.json is a model"
el quantize bare/model.safetensors bare.gguf Q8_0
has err "warning: the input is weights alone"
el quantize -q bare/model.safetensors bare2.gguf Q8_0
empty err
