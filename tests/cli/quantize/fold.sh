# Methods that change the model before: it computes the same, every option has its effect, what cannot be is refused.
kld() { el eval kld -q --json --chunks 2 -m "$1" --base "$M" -f "$T"; json kld_mean; }
el quantize -q --method quarot "$M" r.gguf F32
has err 'output.weight: F32: it was the embedding'
el verify r.gguf
el quantize -q --force --dry-run --json --method quarot "$M" r2.gguf F32
no_files r2.gguf
has out '"name": "output.weight"'
is "$(json n_params)" 4983552
el info --metadata edgellm.folds r.gguf
has out 'quarot rotate residual seed 1'
has out 'quarot gain blk.0.attn_norm.weight > blk.0.attn_q.weight'
a=$(kld r.gguf)
awk -v a="$a" 'BEGIN { exit !(a < 1e-5) }' || fail "rotated, the model predicts something else: $a"
rc 8 "$EDGELLM" quantize --method quarot --keep-tied "$M" o.gguf F32
has err "quarot: .*token_embd.weight.*keep tied"
no_files o.gguf

# Codes: by rtn where nothing is said, by the method behind the plus, of the rotated model's statistics.
el quantize -q --pure --method quarot "$M" q.gguf Q4_0
el quantize -q --pure --method quarot+rtn "$M" q2.gguf Q4_0
same q.gguf q2.gguf
el quantize -q --pure --method rtn "$M" n.gguf Q4_0
differ q.gguf n.gguf
el calibrate -q --chunks 2 -o s.gguf "$M"
for t in 1 2 5; do
    el quantize -q --force -t $t --pure --method quarot+gptq --stats s.gguf "$M" g$t.gguf Q3_K
    same g$t.gguf g1.gguf
done
el info --metadata edgellm.plan g1.gguf
has out 'blk.0.ffn_down.weight Q3_K gptq'
has out 'output.weight Q3_K search fallback: it was the embedding, and is no longer the same; not in the statistics'
el quantize -q --force --pure --method quarot --stats s.gguf "$M" g2.gguf Q3_K
b=$(kld g1.gguf) c=$(kld g2.gguf)
awk -v b="$b" -v c="$c" 'BEGIN { exit !(b < c) }' || fail "gptq behind quarot ($b) is not better than rtn ($c)"
el calibrate -q --no-hessian --chunks 2 -o i.gguf "$M"
rc 2 "$EDGELLM" quantize --method quarot+imatrix --stats i.gguf "$M" o.gguf Q3_K
has err 'what it reads is rotated, and the statistics have no sums of products'
rc 2 "$EDGELLM" quantize --method gptq+quarot --stats s.gguf "$M" o.gguf Q3_K
has err "'gptq' chooses codes"
rc 2 "$EDGELLM" quantize --method spin+rtn "$M" o.gguf Q3_K
has err "unknown method 'spin'.*before one of them with a '+' quarot"
rc 2 "$EDGELLM" quantize --method quarot q.gguf o.gguf Q3_K
has err 'already quantized'

# Rotated while the model runs: every command reads what the file says.
el quantize -q --method quarot --online-rotation "$M" w.gguf F32
el verify w.gguf
el info w.gguf
has out 'blk.0.ffn_down.input_signs'
d=$(kld w.gguf)
awk -v d="$d" 'BEGIN { exit !(d < 1e-5) }' || fail "rotated while it runs, the model predicts something else: $d"
for f in "$M" w.gguf; do
    el run -q -n 12 --temp 0 -p 'It was a' -m "$f"
    mv out "$(basename "$f").text"
done
same w.gguf.text "$(basename "$M").text"
el calibrate -q --chunks 2 -o s2.gguf w.gguf
el quantize -q --pure --method quarot+gptq --online-rotation --stats s.gguf "$M" o.gguf Q3_K
el verify o.gguf
el quantize -q --force --pure --method gptq --stats s2.gguf w.gguf o2.gguf Q3_K
el verify o2.gguf
rc 8 "$EDGELLM" quantize --force --method quarot --online-rotation w.gguf o.gguf F32
has err "'blk.0.ffn_down.input_signs' is there already"
