"$EDGELLM" list mixes > listed
sed 's/ .*//' listed > types
printf '%s\n' G4_32 G3_128Z G8_ROW g2_64z MXFP4 >> types
while read -r t; do
    el quantize --force "$M" o.gguf "$t" < /dev/null
    el verify o.gguf < /dev/null
    "$EDGELLM" run -m o.gguf -q --temp 0 -n 4 "The garden" > text < /dev/null
    [ -s text ] || fail "$t: no text"
done < types
# What can only be read is refused by name, with the reason.
rm o.gguf
rc 8 "$EDGELLM" quantize --tensor-type 'attn_q=g4_32f' "$M" o.gguf Q8_0
has err 'G4_32F can be read but not made'
no_files o.gguf
