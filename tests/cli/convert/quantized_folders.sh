# GPTQ and AWQ folders keep their codes in GGUF; as F16 they are what the formats' own rule rounds to.
for m in gptq-act-order awq; do
    el convert "$EL_TEST_DATA/quantized/$m" $m.gguf
    el diff --values --no-metadata "$EL_TEST_DATA/quantized/$m" $m.gguf
    el verify $m.gguf
    el info $m.gguf
    has out 'edgellm.activations = f32'
    el convert --type f32 $m.gguf $m-f32.gguf
    el diff --values --no-metadata $m.gguf $m-f32.gguf
    el convert --type f16 "$EL_TEST_DATA/quantized/$m" $m-hf
    el convert --type f16 $m.gguf $m-f16.gguf
    el diff --values --no-metadata $m-hf $m-f16.gguf
    lacks $m-hf/config.json quantization_config
    rc 2 "$EDGELLM" quantize $m.gguf x.gguf Q8_0
    el quantize --allow-requantize $m.gguf $m-q8.gguf Q8_0
    el info $m-q8.gguf
    lacks out edgellm.activations
    el run -m $m.gguf -n 4 --temp 0 hello
done
el info --tensors gptq-act-order.gguf
has out 'blk.0.attn_q.weight *256 x 256  G4_128ZP '
