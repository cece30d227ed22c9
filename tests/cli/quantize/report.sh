# What was done to every tensor: lines of JSON, the same numbers in the metadata, a table on a terminal.
el calibrate -q -c 128 --chunks 4 -o s.gguf "$M"
el quantize -q --stats s.gguf --method gptq --method 'attn_v=rtn' --report o.jsonl -t 2 "$M" o.gguf Q3_K_S
is "$(wc -l < o.jsonl)" 47
line() { grep "\"name\": *\"$1\"" o.jsonl; }
value() { line "$1" | grep -oE "\"$2\": *[^,}]*" | sed 's/.*: *//'; }
is "$(value blk.0.ffn_up.weight method)" '"gptq"'
is "$(value blk.0.ffn_up.weight to)" '"Q3_K"'
is "$(value blk.0.ffn_up.weight bits_per_weight)" 3.4375
is "$(value blk.0.ffn_up.weight damping)" 0.01
is "$(value blk.0.ffn_up.weight fallback)" null
line blk.0.ffn_up.weight > l
has l '"seconds": *[0-9]'
line token_embd.weight > l
has l '"fallback": *"not in the statistics: search"'
lacks l 'relative_output_error'
line blk.0.attn_v.weight > l
lacks l 'relative_output_error'
line blk.0.attn_norm.weight > l
has l '"relative_error": *0'
# Of the outputs less is lost than of the weights: that is what the method is for.
w=$(value blk.0.ffn_up.weight relative_error) y=$(value blk.0.ffn_up.weight relative_output_error)
awk -v w="$w" -v y="$y" 'BEGIN { exit !(y > 0 && y < 0.8 * w && w < 0.5) }' || fail "errors $w, $y"
# The metadata has one number for each line of the plan.
n=$("$EDGELLM" info --metadata edgellm.plan o.gguf | grep -n 'blk.0.ffn_up.weight' | cut -d: -f1)
first=$("$EDGELLM" info --metadata edgellm.plan o.gguf | grep -n 'weight ' | head -n 1 | cut -d: -f1)
meta() { "$EDGELLM" info --json "$2" | grep -A60 "\"edgellm.report.$1\"" > m; }
"$EDGELLM" info --metadata edgellm.report.weight_error o.gguf > m
is "$(grep -coE '[0-9.e-]+$' m)" "$("$EDGELLM" info --metadata edgellm.report.output_error o.gguf | wc -l)"
at() { "$EDGELLM" info --metadata "edgellm.report.$1" o.gguf | sed -n "${n}p" | grep -oE '[0-9][0-9.e-]*$|nan$'; }
near "$(at weight_error)" "$w" 1e-6
near "$(at output_error)" "$y" 1e-6
near "$(at damping)" 0.01 1e-6
is "$(at weaker)" 0
[ "$n" -ge "$first" ]
el verify o.gguf
# The same bytes for any number of threads; the numbers go when the weights get other codes.
el quantize -q --force --stats s.gguf --method gptq --method 'attn_v=rtn' -t 1 "$M" p.gguf Q3_K_S
same o.gguf p.gguf
el convert -q --type f32 o.gguf f.gguf
el info f.gguf
lacks out 'edgellm.report'
# Replaced only when asked for, and only what is a report.
rc 4 "$EDGELLM" quantize --report o.jsonl "$M" q.gguf Q8_0
has err "'o.jsonl': report exists already"
no_files q.gguf
echo text > t.txt
rc 2 "$EDGELLM" quantize --force --report t.txt "$M" q.gguf Q8_0
is "$(cat t.txt)" text
no_files q.gguf
el quantize --force --report o.jsonl "$M" q.gguf Q8_0
is "$(grep -c '"method": *"search"' o.jsonl)" 36
rc 4 "$EDGELLM" quantize --report nowhere/o.jsonl "$M" r.gguf Q8_0
# A terminal has the table; a pipe has not.
lacks err 'blk.0'
tty_run "$EDGELLM" quantize --force "$M" q.gguf Q8_0
has out '^tensor  *shape  *encoding  *method'
has out 'blk.0.attn_q.weight  *256 x 256  F16 -> Q8_0 .* 8.50 '
