rc 2 "$EDGELLM" quantize "$Q" o.gguf Q8_0
has err 'already quantized'
has err 'see --allow-requantize'
one_line err
no_files o.gguf
el quantize --allow-requantize "$Q" o.gguf Q8_0
el verify o.gguf
# COPY changes nothing.
el quantize "$Q" copy.gguf COPY
"$EDGELLM" eval ppl -m copy.gguf -f "$T" --chunks 1 --json | grep -v model_sha256 > a
"$EDGELLM" eval ppl -m "$Q" -f "$T" --chunks 1 --json | grep -v model_sha256 > b
same a b
