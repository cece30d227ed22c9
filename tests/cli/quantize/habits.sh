cp "$M" in.gguf
el quantize in.gguf Q8_0
[ -s ggml-model-Q8_0.gguf ] || fail "default name: $(ls)"
el quantize in.gguf q4_k_m 2
[ -s ggml-model-Q4_K_M.gguf ] || fail "default name: $(ls)"
same ggml-model-Q4_K_M.gguf "$Q"
el quantize in.gguf 4bits.gguf Q4_K_M
same 4bits.gguf "$Q"
el quantize in.gguf 4 Q4_K_M 3
same 4 "$Q"
el quantize in.gguf Q4_0 Q4_K_M
same Q4_0 "$Q"
el quantize in.gguf num.gguf 15
same num.gguf "$Q"
mkdir m && cp "$B"/*.json "$B"/*.safetensors m/
el quantize m Q8_0
[ -s m/ggml-model-Q8_0.gguf ] || fail "default name in a folder"
rc 2 "$EDGELLM" quantize in.gguf o.gguf
has err 'o.gguf'
rc 2 "$EDGELLM" quantize in.gguf o.gguf Q99
has err 'Q99'
rc 2 "$EDGELLM" quantize in.gguf o.gguf Q8_0 many
has err "'many' is not a number of threads"
rc 2 "$EDGELLM" quantize in.gguf o.gguf Q8_0 5000
rc 2 "$EDGELLM" quantize in.gguf
no_files o.gguf
