# The best of a size: within the target and near it, the same bytes whatever the threads, nothing left behind; refused by name
# where it cannot be.
few=(--types Q2_K,Q3_K,Q4_K,Q6_K,Q8_0 --no-descent --chunks 2 --measure-chunks 1)
left() { ls -A | grep -v -e '^out$' -e '^err$' | sort | tr '\n' ' '; }

el quantize --json "${few[@]}" --target-size 2.2M "$M" o.gguf
is "$(left)" "o.gguf "
size=$(stat -c %s o.gguf)
[ "$size" -le 2200000 ] && [ "$size" -ge 2190000 ] || fail "$size bytes for a target of 2200000"
is "$(json nbytes_files)" "$size"
is "$(json target)" '"--target-size 2200000"'
has out '"measured_kld": [0-9]'
el verify o.gguf
el info --metadata edgellm.plan o.gguf
has out 'gptq'
# Twice, with one thread, from statistics and a text of one's own.
mv o.gguf one.gguf
el quantize -q -t 1 "${few[@]}" --target-size 2200000 "$M" o.gguf
same o.gguf one.gguf

# The plan of a dry run gives the same file.
el calibrate -q --process-output --chunks 2 -o s.gguf "$M" "$T"
el quantize --dry-run --stats s.gguf -f "$T" "${few[@]}" --save-plan p.json --target-bpw 4 "$M"
has out '^plan .*measured'
no_files o2.gguf ggml-model-target.gguf.work
has p.json '"made_by": "--target-bpw 4"'
has p.json '"predicted_kld": [0-9]'
has p.json '"loss": '
awk -F'[:,]' '/"bits_per_weight"/ { exit !($2 <= 4 && $2 > 3.9) }' p.json || fail "not near 4 bits per weight"
el quantize -q --stats s.gguf -f "$T" "${few[@]}" --target-bpw 4 "$M" a.gguf
el quantize -q --stats s.gguf --plan p.json "$M" b.gguf
same a.gguf b.gguf

# Below the least nothing is run; a divergence that all may have gives the least.
rc 2 "$EDGELLM" quantize "${few[@]}" --target-size 500k "$M" x.gguf
has err 'a target of 500000 bytes cannot be met: the smallest files of these types have [0-9]*'
rc 2 "$EDGELLM" quantize "${few[@]}" --target-bpw 1 "$M" x.gguf
has err '1 bits per weight cannot be met: the least of these types is [0-9.]*'
rc 2 "$EDGELLM" quantize "${few[@]}" --target-speed 1k "$M" x.gguf
has err '1000 bytes per token cannot be met'
no_files x.gguf x.gguf.work
el quantize --json --sensitivity weight "${few[@]}" --target-speed 2M "$M" x.gguf
awk '/"read_nbytes_per_token"/ { gsub(/,/, ""); exit !($2 <= 2000000 && $2 > 1900000) }' out || fail "not near 2000000 bytes per token"

# Floors, ceilings, one type for several, and types by name. Weights alone need no text and no statistics.
w=(--sensitivity weight --types Q2_K,Q4_K,Q8_0)
type_of() { sed -n "s/^$1 \([^ ]*\) .*/\1/p" plan | sort -u | tr '\n' ' '; }
plan() { rm -f w.gguf; el quantize -q "${w[@]}" "$@" "$M" w.gguf; el info --metadata edgellm.plan w.gguf; sed 's/^[^a-z]*//; s/"//g' out > plan; }
plan --target-bpw 4 --min-type 'attn_v=Q8_0' --max-type 'ffn_down=Q3_K'
is "$(type_of 'blk.[0-9]*.attn_v.weight')" "Q8_0 "
is "$(type_of 'blk.[0-9]*.ffn_down.weight')" "Q2_K "
plan --target-bpw 5 --tensor-type 'ffn_up=Q4_K' --token-embedding-type Q8_0
is "$(type_of 'blk.[0-9]*.ffn_up.weight')" "Q4_K "
is "$(type_of 'token_embd.weight')" "Q8_0 "
plan --target-bpw 5 --same-type 'attn_(q|k|v|output)'
for l in 0 1 2 3; do
    [ "$(type_of "blk.$l.attn_[qkvo][a-z]*.weight" | wc -w)" -le 1 ] || fail "layer $l has several types: $(type_of "blk.$l.attn_[qkvo][a-z]*.weight")"
done
plan --target-bpw 8 --skip 'blk.[0-9]*.ffn_down'
is "$(type_of 'blk.[0-9]*.ffn_down.weight')" "F16 "
rc 2 "$EDGELLM" quantize "${w[@]}" --target-bpw 2 --skip 'blk' "$M" x2.gguf
has err 'cannot be met'
# The method is the one that is asked for, of all and of some; one that changes the model is refused, and what only such a one has.
plan --target-bpw 4 --method hqq --method 'attn_q=mse' --rounds 1
is "$(sed -n 's/^blk.*attn_q.weight [^ ]* \([a-z]*\).*/\1/p' plan | sort -u)" mse
is "$(sed -n 's/^blk.*ffn_up.weight [^ ]* \([a-z]*\).*/\1/p' plan | sort -u)" hqq
rc 2 "$EDGELLM" quantize "${w[@]}" --stats s.gguf --target-bpw 4 --method awq+gptq "$M" x2.gguf
has err "method 'awq+gptq' changes the model"
rc 2 "$EDGELLM" quantize "${w[@]}" --target-bpw 4 --alpha 0.3 "$M" x2.gguf
has err "'--alpha' is for methods that change the model"
no_files x2.gguf x2.gguf.work

rc 2 "$EDGELLM" quantize "${w[@]}" --target-bpw 4 --min-type 'attn_v=F32' --max-type 'attn_v=Q2_K' "$M" x2.gguf
has err "tensor 'blk.[0-9].attn_v.weight': no type is left to choose from, the last pattern was 'attn_v=Q2_K'"
rc 2 "$EDGELLM" quantize "${w[@]}" --target-bpw 4 --min-type 'attn_v' "$M" x2.gguf
has err "min type 'attn_v': must be REGEX=TYPE"

rc 2 "$EDGELLM" quantize --target-bpw 4 --target-size 2M "$M" x2.gguf
has err "'--target-size' and '--target-bpw' exclude each other"
rc 2 "$EDGELLM" quantize --target-bpw 4 --pure "$M" x2.gguf
rc 2 "$EDGELLM" quantize --target-bpw 4 "$M"
has err "OUT is missing"
rc 2 "$EDGELLM" quantize --types Q4_K "$M" x2.gguf Q4_K
has err "'--types' is for --target-size"
rc 4 "$EDGELLM" quantize --target-bpw 4 "$M" o.gguf
has err 'exists'
