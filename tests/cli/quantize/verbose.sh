el quantize -v "$M" o.gguf Q8_0
has err '^blk.0.attn_q.weight  *256 x 256  F16 -> Q8_0 '
has err '^47 tensors: 9.51 MiB'
empty out
