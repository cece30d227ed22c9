rc 2 "$EDGELLM" eval kld -m "$Q" -f "$T"
has err "'--base' is missing"
rc 2 "$EDGELLM" eval kld -m "$Q" --base "$M"
rc 2 "$EDGELLM" eval kld --base "$M" -f "$T"
F=$EL_TEST_DATA/fixtures/llama/model-f32.gguf
[ -f "$F" ] || exit 0
rc 2 "$EDGELLM" eval kld -m "$F" --base "$M" -f "$T"
has err 'cannot be compared'
