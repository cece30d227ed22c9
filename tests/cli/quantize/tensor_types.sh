el quantize --dry-run --json --tensor-type 'attn_[qk]=Q8_0' --tensor-type 'blk\.0\.attn_q=F16' --tensor-type '^blk\.1\.ffn_up\.weight$=Q6_K' "$M" Q4_0
tensor() { awk -v n="\"name\": \"$1\"" 'index($0, n) { f = 1 } f && /"to":/ { gsub(/[",]/, ""); print $2; exit }' out; }
is "$(tensor blk.0.attn_q.weight)" Q8_0
is "$(tensor blk.1.attn_k.weight)" Q8_0
is "$(tensor blk.1.attn_v.weight)" Q4_0
is "$(tensor blk.1.ffn_up.weight)" Q6_K
is "$(tensor blk.2.ffn_up.weight)" Q4_0
el quantize --dry-run --json --token-embedding-type Q8_0 "$M" Q4_K_M
is "$(tensor token_embd.weight)" Q8_0
el quantize --dry-run --json --token-embedding-type Q8_0 --pure "$M" Q4_K_M
is "$(tensor blk.4.ffn_down.weight)" Q4_K
el quantize --dry-run --json "$M" Q4_K_M
is "$(tensor blk.4.ffn_down.weight)" Q6_K
is "$(tensor blk.0.attn_norm.weight)" F32
rc 2 "$EDGELLM" quantize --dry-run --tensor-type 'attn_q=Q77' "$M" Q4_0
rc 2 "$EDGELLM" quantize --dry-run --tensor-type 'attn_q(=Q8_0' "$M" Q4_0
rc 2 "$EDGELLM" quantize --dry-run --tensor-type 'attn_q' "$M" Q4_0
F=$EL_TEST_DATA/fixtures/llama/model-f32.gguf
[ -f "$F" ] || exit 0
el quantize --dry-run --json --output-tensor-type F16 "$F" Q8_0
is "$(tensor output.weight)" F16
el quantize --dry-run --json --leave-output-tensor "$F" Q8_0
is "$(tensor output.weight)" F32
el quantize --dry-run --json "$F" Q8_0
is "$(tensor output.weight)" Q8_0
# A pattern without a tensor is said, one that comes too late is not.
el quantize --dry-run --tensor-type 'atn_v=Q8_0' --tensor-type 'attn=Q8_0' --tensor-type 'attn_v=Q6_K' "$M" t.gguf Q4_0
has err "warning: tensor type 'atn_v=Q8_0' matches no tensor"
one_line err
