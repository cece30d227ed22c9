el diff "$M" "$M"
has out '^metadata: [0-9]* equal, 0 changed, 0 removed, 0 added$'
has out '^tensors: 47 equal, 0 changed, 0 of another shape, 0 removed, 0 added$'
empty err
el diff --json "$M" "$M"
is "$(json equal)" true
is "$(json schema_version)" 1
lacks out '"name"'
el diff --json --all "$M" "$M"
is "$(grep -c '"name": ' out)" 47
is "$(grep -c '"same_bytes": true' out)" 47
# The same model in another format and row order: the same values, vectors in another type.
el convert "$B" same.gguf
rc 1 "$EDGELLM" diff --no-metadata "$B" same.gguf
has out '^changed  output_norm.weight *256  BF16 *256  F32 *0  *0  1.00000000$'
el diff --no-metadata --values "$B" same.gguf
lacks out '^changed'
