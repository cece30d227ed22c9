"$EDGELLM" list mixes > listed
sed 's/ .*//' listed > types
printf '%s\n' G4_32 G3_128Z G8_ROW g2_64z MXFP4 >> types
while read -r t; do
    # The search through codebooks takes seconds for a million weights: these are planned, and made of one matrix each below.
    case $t in IQ[123]*)
        el quantize --dry-run --force "$M" o.gguf "$t" < /dev/null
        continue ;;
    esac
    el quantize --force "$M" o.gguf "$t" < /dev/null
    el verify o.gguf < /dev/null
    "$EDGELLM" run -m o.gguf -q --temp 0 -n 4 "The garden" > text < /dev/null
    [ -s text ] || fail "$t: no text"
done < types
for t in IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S IQ3_XXS IQ3_S; do
    el quantize --force --pure --tensor-type "blk.0.attn_k=$t" "$M" o.gguf Q8_0
    el verify o.gguf
    el info --tensors o.gguf
    has out "blk.0.attn_k.weight .*$t"
    "$EDGELLM" run -m o.gguf -q --temp 0 -n 4 "The garden" > text
    [ -s text ] || fail "$t: no text"
done
# What can only be read is refused by name, with the reason.
rm o.gguf
rc 8 "$EDGELLM" quantize --tensor-type 'attn_q=g4_32f' "$M" o.gguf Q8_0
has err 'G4_32F can be read but not made'
no_files o.gguf
