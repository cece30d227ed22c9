# Methods and tensors to leave alone, by pattern; and the file is what the plan says.
method() { awk -v n="\"name\": \"$1\"" 'index($0, n) { f = 1 } f && /"method":/ { gsub(/[",]/, ""); print $2; exit }' out; }
tensor() { awk -v n="\"name\": \"$1\"" 'index($0, n) { f = 1 } f && /"to":/ { gsub(/[",]/, ""); print $2; exit }' out; }
el quantize --json --method rtn --method 'attn_[qk]=mse' --method 'attn_q=hqq' --skip 'blk\.1\.' --skip 'attn_v' --tensor-type 'attn_v=Q8_0' "$M" o.gguf Q4_0
is "$(method blk.0.attn_q.weight)" mse
is "$(method blk.0.attn_output.weight)" rtn
is "$(method blk.1.attn_output.weight)" copy
is "$(tensor blk.1.attn_output.weight)" F16
is "$(tensor blk.0.attn_v.weight)" F16
is "$(tensor blk.1.attn_norm.weight)" F32
empty err
el verify o.gguf
el info --metadata edgellm.plan o.gguf
has out 'blk.0.attn_k.weight Q4_0 mse'
has out 'blk.1.attn_k.weight F16 copy'
el quantize --dry-run --json --method rtn --method mse "$M" t.gguf Q4_0
is "$(method blk.0.attn_output.weight)" mse
el quantize --dry-run --method 'atn_v=rtn' --skip 'blk\.77' "$M" t.gguf Q4_0
has err "warning: method 'atn_v=rtn' matches no tensor that is quantized"
has err "warning: skip 'blk\\\\.77' matches no tensor$"
rc 2 "$EDGELLM" quantize --dry-run --method 'attn_q=magic' "$M" t.gguf Q4_0
has err "unknown method 'magic'"
rc 2 "$EDGELLM" quantize --dry-run --method 'attn_q=gptq' "$M" t.gguf Q4_0
has err "method 'gptq' needs statistics"
rc 2 "$EDGELLM" quantize --dry-run --method '=rtn' "$M" t.gguf Q4_0
has err "must be REGEX=NAME"
rc 2 "$EDGELLM" quantize --dry-run --skip '(' "$M" t.gguf Q4_0
has err "skip '(': not a valid pattern"
rc 2 "$EDGELLM" quantize --dry-run --skip 'attn' "$M" t.gguf COPY
