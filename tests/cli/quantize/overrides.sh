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
for m in quarot awq+gptq; do
    rc 2 "$EDGELLM" quantize --dry-run --method "attn_q=$m" "$M" t.gguf Q4_0
    has err "method '$m' of some tensors: '${m%+*}' changes the model, and stands in a method for all"
done
rc 2 "$EDGELLM" quantize --dry-run --method '=rtn' "$M" t.gguf Q4_0
has err "must be REGEX=NAME"
rc 2 "$EDGELLM" quantize --dry-run --skip '(' "$M" t.gguf Q4_0
has err "skip '(': not a valid pattern"
rc 2 "$EDGELLM" quantize --dry-run --skip 'attn' "$M" t.gguf COPY

# Where the model is changed before: patterns choose codes of the changed model; what is left alone is changed too, and not rounded.
el calibrate -q --chunks 2 -o s.gguf "$B"
el quantize --force --json --stats s.gguf --method quarot+rtn --method 'ffn_up=gptq' --method 'ffn_gate=mse' --skip 'attn_output|ffn_down' \
    --tensor-type 'ffn_down=Q2_K' "$B" o.gguf Q8_0
is "$(method blk.0.attn_q.weight)" rtn
is "$(method blk.0.ffn_up.weight)" gptq
is "$(method blk.0.ffn_gate.weight)" mse
is "$(method blk.1.ffn_down.weight)" copy
is "$(tensor blk.1.ffn_down.weight)" F32
is "$(tensor blk.1.attn_output.weight)" F32
has out '"fallback": "the model is changed there, and what is left alone is not rounded"'
el verify o.gguf
kld() { el eval kld -q --json --chunks 1 -m "$1" --base "$B" -f "$T"; json kld_mean; }
awk -v k="$(kld o.gguf)" 'BEGIN { exit !(k < 1e-3) }' || fail "what was left alone does not fit the rest"
# All of it left alone: the same function in other weights, which a file without the fold's tensors would not give.
el quantize -q --force --method quarot --skip 'blk' --output-tensor-type F32 --token-embedding-type F32 "$B" o.gguf Q4_0
awk -v k="$(kld o.gguf)" 'BEGIN { exit !(k < 1e-5) }' || fail "a model left alone predicts something else"
# awq changes no matrix of what is skipped everywhere; the type of the input stays where nothing is changed.
el quantize --force --json --stats s.gguf --method awq+rtn --skip 'attn_q' --skip 'token_embd' "$B" o.gguf Q4_0
is "$(tensor token_embd.weight)" BF16
is "$(tensor blk.0.attn_q.weight)" F32
el verify o.gguf
