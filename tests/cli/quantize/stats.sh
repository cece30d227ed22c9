# Methods that read statistics: each has an effect, every option too, and without statistics it is refused.
el calibrate -q --chunks 2 -o s.gguf "$M"
out_error() { el quantize --quiet --json --force --pure --stats s.gguf "$@" "$M" o.gguf Q3_K; awk '/"output_error"/ { gsub(/,/, ""); s += $2 } END { print s }' out; }
a=$(out_error --method gptq) b=$(out_error --method gptq --order none) c=$(out_error --method gptq --damping 1)
[ "$a" != "$b" ] || fail "--order has no effect"
awk -v a="$a" -v c="$c" 'BEGIN { exit !(a > 0 && a < c) }' || fail "more damping does not lose more: $a, $c"
p=$(out_error --no-descent --method gptq) r=$(out_error --method gptq --rounds 1)
awk -v a="$a" -v p="$p" -v r="$r" 'BEGIN { exit !(a < r && r < p) }' || fail "descent, and more of it, does not gain: $a, $r, $p"
x=$(out_error --method gptq --damping 1)
[ "$x" = "$c" ] || fail "the same twice: $c, $x"
has out '"method": "gptq"'
has out '"damping": 1'
el verify o.gguf
el info --metadata edgellm.plan o.gguf
has out 'blk.0.ffn_down.weight Q3_K gptq'
has out 'token_embd.weight Q3_K search fallback: not in the statistics'
mv o.gguf one.gguf
el quantize --quiet --force --pure --stats s.gguf --method gptq --damping 1 -t 1 "$M" o.gguf Q3_K
same o.gguf one.gguf
el quantize --quiet --force --pure --imatrix s.gguf "$M" o.gguf Q3_K
el info --metadata edgellm.plan o.gguf
has out 'blk.0.ffn_down.weight Q3_K imatrix'
el quantize --quiet --force --pure --stats s.gguf --method gptq "$M" o.gguf IQ2_XXS
el verify o.gguf
el info --metadata edgellm.plan o.gguf
has out 'blk.0.ffn_down.weight IQ2_XXS gptq'
rc 2 "$EDGELLM" quantize --force --pure --method hqq "$M" o.gguf IQ2_XXS
has err "method 'hqq' does not make 'IQ2_XXS'"
d=$(out_error --method adaround --rounds 1) e=$(out_error --method adaround --rounds 40)
[ "$d" != "$e" ] || fail "--rounds has no effect"
el quantize --quiet --force --pure --method hqq "$M" h.gguf Q4_K
el quantize --quiet --force --pure --method hqq --rounds 1 "$M" h1.gguf Q4_K
differ h.gguf h1.gguf
el quantize --quiet --force --pure --method mse "$M" m.gguf Q4_K
differ h.gguf m.gguf
rc 2 "$EDGELLM" quantize --force --method gptq "$M" o.gguf Q3_K
has err "needs statistics"
el calibrate -q -c 256 --chunks 4 --quantized "$Q" --cross -o c.gguf "$M"
el quantize -q --stats c.gguf --method gptq "$M" c1.gguf Q4_0
el quantize -q --stats c.gguf --method gptq --no-cross "$M" c2.gguf Q4_0
differ c1.gguf c2.gguf
