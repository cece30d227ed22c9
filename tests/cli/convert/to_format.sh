el convert --to hf "$M" folder.gguf
[ -s folder.gguf/config.json ] || fail "--to hf did not make a folder"
el convert "$M" one.safetensors
el info --json one.safetensors
is "$(json format)" '"safetensors"'
for ext in bin pth pt ckpt npz; do
    rc 2 "$EDGELLM" convert "$M" "one.$ext"
    one_line err
    has err "'one.$ext': files of the kind .$ext are read, not written"
    no_files "one.$ext"
done
el convert --to gguf "$B" one.bin
is "$(head -c 4 one.bin)" GGUF
el convert --to gguf "$B" noname
is "$(head -c 4 noname)" GGUF
el convert --to safetensors "$M" st
el info st
