"$EDGELLM" list mixes > listed
grep -v 'not made yet$' listed | sed 's/ .*//' > types
printf '%s\n' G4_32 G3_128Z G8_ROW g2_64z MXFP4 >> types
while read -r t; do
    el quantize --force "$M" o.gguf "$t" < /dev/null
    el verify o.gguf < /dev/null
    "$EDGELLM" run -m o.gguf -q --temp 0 -n 4 "The garden" > text < /dev/null
    [ -s text ] || fail "$t: no text"
done < types
# What can only be read is refused by name, with the reason.
rm o.gguf
grep 'not made yet$' listed | sed 's/ .*//' > refused
[ -s refused ] || fail "nothing is refused"
while read -r t; do
    rc 8 "$EDGELLM" quantize "$M" o.gguf "$t" < /dev/null
    has err "type '$t': IQ.* can be read but not made: choosing its codebook entries needs importance weights"
done < refused
rc 8 "$EDGELLM" quantize --tensor-type 'attn_q=iq3_xxs' "$M" o.gguf Q8_0
has err 'IQ3_XXS can be read but not made'
no_files o.gguf
