# What counts, what is there, and what excludes what.
head -c 3000 "$T" > t.txt
n_of() { "$EDGELLM" info "$1" | grep -c "$2" || true; }
C=(calibrate -c 64 --chunks 4 --cpu avx2)
[ "$(uname -m)" = x86_64 ] || C=(calibrate -c 64 --chunks 4)
el "${C[@]}" -o a.stats "$B" t.txt
is "$(n_of a.stats '\.hessian')" 20
is "$(n_of a.stats '\.in_sum2')" 35
el "${C[@]}" --no-hessian --process-output -o b.stats "$B" t.txt
is "$(n_of b.stats '\.hessian')" 0
is "$(n_of b.stats '\.in_sum2')" 36
el "${C[@]}" --skip-first 1 -o c.stats "$B" t.txt
differ a.stats c.stats
el "${C[@]}" --json --skip-massive --massive 3 -o d.stats "$B" t.txt
has out '"massive_position": 0'
differ a.stats d.stats
differ c.stats d.stats
el "${C[@]}" --quantized "$Q" -o e.stats "$B" t.txt
differ a.stats e.stats
is "$(n_of e.stats '\.cross')" 0
el "${C[@]}" --quantized "$Q" --cross -o f.stats "$B" t.txt
is "$(n_of f.stats '\.cross')" 20
# The layers run on what the quantized ones give: not in other directions. Scales within a layer are nothing to the others.
el quantize -q --method quarot "$B" turned.gguf F32
el quantize -q --method quarot+rtn "$B" turned4.gguf Q4_0
rc 2 "$EDGELLM" "${C[@]}" --quantized turned4.gguf -o x.stats "$B" t.txt
has err "'turned4.gguf': its residual stream is changed by 'quarot rotate residual seed 1', that of .* by 'nothing'"
rc 2 "$EDGELLM" "${C[@]}" --quantized "$Q" -o x.stats turned.gguf t.txt
has err "by 'nothing', that of 'turned.gguf' by 'quarot rotate residual"
el "${C[@]}" --quantized turned4.gguf -o h.stats turned.gguf t.txt
el quantize -q --method awq+rtn --stats a.stats "$B" scaled.gguf Q4_0
el "${C[@]}" --quantized scaled.gguf -o i.stats "$B" t.txt
no_files x.stats
el "${C[@]}" --override-kv llama.attention.layer_norm_rms_epsilon=float:0.1 -o g.stats "$B" t.txt
differ a.stats g.stats
rc 4 "$EDGELLM" "${C[@]}" -o a.stats "$B" t.txt
has err 'output exists already.*--force'
el "${C[@]}" --force -o a.stats "$B" t.txt
rc 2 "$EDGELLM" calibrate "$B" t.txt
has err "'--output' is missing"
rc 2 "$EDGELLM" calibrate -o x.stats --cross "$B" t.txt
has err "'--cross' needs --quantized"
rc 2 "$EDGELLM" calibrate -o x.stats --quantized "$EL_TEST_DATA/fixtures/llama" "$B" t.txt
has err 'is another model than'
rc 2 "$EDGELLM" calibrate -o x.stats --output-format dat "$B" t.txt
has err "'--output-format' is for --merge"
rc 2 "$EDGELLM" calibrate -o x.stats --merge --resume a.stats
has err "'--merge' runs no model"
rc 2 "$EDGELLM" calibrate -o x.stats -m "$B"
has err "model and texts are the arguments"
no_files x.stats
