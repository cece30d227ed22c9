el convert --to hf "$M" folder.gguf
[ -s folder.gguf/config.json ] || fail "--to hf did not make a folder"
el convert "$M" one.safetensors
el info --json one.safetensors
is "$(json format)" '"safetensors"'
el convert --to gguf "$B" noname
is "$(head -c 4 noname)" GGUF
el convert --to safetensors "$M" st
el info st
