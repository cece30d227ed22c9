el quantize "$M" o.gguf Q8_0
rc 4 "$EDGELLM" quantize "$M" o.gguf Q4_0
has err 'o.gguf.*(--force replaces it)$'
rc 2 "$EDGELLM" quantize "$M" o.safetensors Q4_0
has err 'quantize writes GGUF'
no_files o.safetensors
el quantize --force "$M" o.gguf Q4_0
rc 4 "$EDGELLM" quantize "$M" nodir/o.gguf Q8_0
rc 4 "$EDGELLM" quantize "$M" "$(printf '%0300d' 0).gguf" Q8_0
mkdir folder.gguf
code=0; "$EDGELLM" quantize --force "$M" folder.gguf Q8_0 2> err || code=$?
[ "$code" -ne 0 ] || fail "a folder was replaced"
[ -d folder.gguf ] || fail "the folder is gone"
rc 8 "$EDGELLM" quantize "$B/tokenizer.json" p.gguf Q8_0
no_files p.gguf
