el convert --dry-run "$B" o.gguf
has out 'blk.0.attn_q.weight'
has out 'BF16 -> BF16'
no_files o.gguf
el convert --dry-run --json --type f32 "$B" o.gguf
is "$(json dry_run)" true
is "$(json format)" '"gguf"'
is "$(json type)" '"F32"'
is "$(json nbytes_before)" 9967104
is "$(json nbytes_after)" 19934208
no_files o.gguf
