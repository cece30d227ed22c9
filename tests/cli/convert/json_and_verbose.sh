el convert --json --type f16 "$B" o.gguf
is "$(json n_params)" 4983552
is "$(json output)" '"o.gguf"'
has out '"name": "blk.0.attn_q.weight"'
has out '"shape": \[256, 256\]'
rm o.gguf
el convert -v "$B" o.gguf
has err '^blk.0.attn_q.weight  *256 x 256  BF16 -> BF16'
rm o.gguf
el convert --verbose "$B" o.gguf
has err '^blk.0.attn_q.weight'
