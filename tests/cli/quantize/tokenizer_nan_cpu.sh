# A folder without its tokenizer: --tokenizer brings it.
mkdir m
cp "$B/config.json" "$B/model.safetensors" m/
el quantize m without.gguf Q8_0
rc 3 "$EDGELLM" tokenize -m without.gguf x
el quantize --tokenizer "$B/tokenizer.json" m with.gguf Q8_0
el tokenize -m with.gguf "Hello world"
is "$(cat out)" "40 424 79 959"
# A NaN is an error, or becomes zero and is said.
for at in 4000000 4000100; do printf '\300\177' | dd of=m/model.safetensors bs=1 seek=$at conv=notrunc status=none; done
rc 3 "$EDGELLM" quantize m nan.gguf Q8_0
no_files nan.gguf
el quantize --nan zero m nan.gguf Q8_0
has err "NaN or infinite weights became zero"
# The CPU level and the number of threads are checked, and change no byte.
rc 2 "$EDGELLM" quantize --cpu fast "$M" x.gguf Q4_K
rc 2 "$EDGELLM" quantize -t 2000 "$M" x.gguf Q4_K
no_files x.gguf
el quantize "$M" a.gguf Q4_K
el quantize --cpu ref --threads 1 "$M" b.gguf Q4_K
same a.gguf b.gguf
