# A BF16 NaN (0x7fc0) in the middle of the weights.
cp -r "$B" m
chmod -R u+w m
printf '\300\177' | dd of=m/model.safetensors bs=1 seek=4000000 conv=notrunc status=none
rc 3 "$EDGELLM" convert --type f16 m o.gguf
has err "tensor '"
no_files o.gguf
el convert --nan zero --type f16 m o.gguf
has err '1 NaN or infinite weights became zero'
el verify o.gguf
rc 3 "$EDGELLM" quantize --nan error m p.gguf Q8_0
no_files p.gguf
el quantize --nan zero m p.gguf Q4_K_M
el verify p.gguf
rc 3 "$EDGELLM" verify m
