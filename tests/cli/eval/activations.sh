# A GPTQ folder sees its activations as they are; int8 is another result, with and without asking.
F=$EL_TEST_DATA/quantized/gptq-act-order
for a in none f32 int8; do
    set --
    [ $a = none ] || set -- --override-kv edgellm.activations=str:$a
    el eval logits -m "$F" "$@" --tokens "$EL_TEST_DATA/fixtures/llama/ids.txt" -o $a.safetensors
done
same none.safetensors f32.safetensors
differ none.safetensors int8.safetensors
rc 3 "$EDGELLM" eval logits -m "$F" --override-kv edgellm.activations=str:f16 --tokens "$EL_TEST_DATA/fixtures/llama/ids.txt" -o x
has err "metadata 'edgellm.activations': 'f16', must be f32 or int8"
