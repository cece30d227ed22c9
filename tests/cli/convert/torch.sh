# PyTorch's files give the same bytes as the safetensors file of the same model.
mkdir a
cp "$EL_TEST_DATA/torch/llama/config.json" "$EL_TEST_DATA/torch/llama/pytorch_model.bin" a
el convert "$EL_TEST_DATA/torch/llama" want.gguf
el convert a a.gguf
el diff want.gguf a.gguf
for kind in sharded legacy; do
    el convert "$EL_TEST_DATA/torch/llama/$kind" $kind.gguf
    el diff want.gguf $kind.gguf
done
el convert "$EL_TEST_DATA/torch/types.pt" types.safetensors
el diff types.safetensors "$EL_TEST_DATA/torch/types.safetensors"
rc 2 "$EDGELLM" convert --to torch a x.pt
# Nothing in a file is run.
printf '\200\002cos\nsystem\nX\014\000\000\000touch /tmp/x\205R.' > evil.pt
rc 8 "$EDGELLM" info evil.pt
has err 'none that torch.save has written'
