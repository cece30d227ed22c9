el --list
for k in commands encodings mixes methods formats architectures cpu-levels; do has out "^$k:"; done
has out '  Q4_K_M '
cp out first
el list && same out first
el list encodings
has out '^Q6_K '
lacks out 'gguf'
el list --json
has out '"architectures": \['
has out '"name": "llama"'
el --list --json
has out '"mixes": \['
rc 2 "$EDGELLM" list everything
has err "'everything' is none of"
