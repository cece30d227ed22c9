# PyTorch's files give the same bytes as the safetensors file of the same model.
mkdir a
cp "$EL_TEST_DATA/torch/llama/config.json" "$EL_TEST_DATA/torch/llama/pytorch_model.bin" a
el convert "$EL_TEST_DATA/torch/llama" want.gguf
el convert a a.gguf
el diff want.gguf a.gguf
for kind in sharded legacy legacy4 nested; do
    el convert "$EL_TEST_DATA/torch/llama/$kind" $kind.gguf
    el diff want.gguf $kind.gguf
done
el convert "$EL_TEST_DATA/torch/types.pt" types.safetensors
el diff types.safetensors "$EL_TEST_DATA/torch/types.safetensors"
el convert "$EL_TEST_DATA/torch/llama/nested" again.gguf --force
has err "begin with 'model.module.': taken as if they did not; tensors of other names are left out"
rc 2 "$EDGELLM" convert --to torch a x.pt
# Nothing in a file is run.
printf '\200\002cos\nsystem\nX\014\000\000\000touch /tmp/x\205R.' > evil.pt
rc 8 "$EDGELLM" info evil.pt
has err "evil.pt': .*opcode GLOBAL at byte 2: global 'os.system' is refused"
rc 8 "$EDGELLM" convert evil.pt x.gguf
printf '\200\002N.' > other.pt
rc 8 "$EDGELLM" info other.pt
has err 'none that torch.save has written'
