# Methods that scale channels first: what they did is in the file, each has an effect, and its options.
el calibrate -q --chunks 4 -o s.gguf "$M"
q() { el quantize --quiet --force --pure --stats s.gguf "$@" "$M" o.gguf Q3_K; }
q --method awq
el info --metadata edgellm.folds o.gguf
for l in 'awq gain blk.0.attn_norm.weight > blk.0.attn_q.weight' 'awq gain blk.4.attn_v.weight > blk.4.attn_output.weight' \
    'awq gain blk.2.ffn_up.weight > blk.2.ffn_down.weight'; do has out "$l"; done
lacks out 'output_norm' # the output is the embedding, which stays one matrix
el info --metadata edgellm.plan o.gguf
has out 'blk.0.ffn_down.weight Q3_K clip'
el verify o.gguf
mv o.gguf awq.gguf
q --method awq -t 1
same o.gguf awq.gguf
q --method awq --input-scales # every input of this family is fed by what can be divided
same o.gguf awq.gguf
q --method awq+gptq
el info --metadata edgellm.plan o.gguf
has out 'blk.0.ffn_down.weight Q3_K gptq'
q --method clip
differ o.gguf awq.gguf
mv o.gguf clip.gguf
q --method rtn
differ o.gguf clip.gguf
q --method smoothquant
mv o.gguf half.gguf
q --method smoothquant --alpha 0.5
same o.gguf half.gguf
q --method smoothquant --alpha 0.9
differ o.gguf half.gguf
rc 2 "$EDGELLM" quantize --method smoothquant --stats s.gguf --alpha 0 --force "$M" o.gguf Q3_K
for m in awq smoothquant clip awq+rtn; do
    rc 2 "$EDGELLM" quantize --method $m --force "$M" o.gguf Q3_K
    has err "needs statistics"
done
# An importance matrix has no means and maxima of |x|.
el calibrate -q --merge --output-format gguf -o i.gguf s.gguf
for m in awq smoothquant; do rc 2 "$EDGELLM" quantize --method $m --stats i.gguf --force "$M" o.gguf Q3_K; done
q --method clip --stats i.gguf
# Without sums of products by the diagonal alone.
el calibrate -q --chunks 4 --no-hessian -o n.gguf "$M"
q --method awq --stats n.gguf
differ o.gguf awq.gguf
el verify o.gguf
