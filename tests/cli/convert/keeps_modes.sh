# What is replaced keeps its mode: a private model stays private.
el convert "$M" m.gguf
chmod 600 m.gguf
el convert --force --type f32 "$M" m.gguf
is "$(stat -c %a m.gguf)" 600
el convert --split-max-tensors 20 "$M" s.gguf
chmod 640 s-0000*
el convert --force --split-max-tensors 20 --type f32 "$M" s.gguf
is "$(stat -c %a s-0000* | sort -u)" 640
el convert "$M" folder
chmod 700 folder
chmod 600 folder/config.json
el convert --force "$M" folder
is "$(stat -c %a folder folder/config.json folder/model.safetensors | tr '\n' ' ')" "700 600 644 "
