cp "$M" long.gguf
head -c 64 /dev/zero >> long.gguf
el verify -q long.gguf
rc 3 "$EDGELLM" verify --strict long.gguf
