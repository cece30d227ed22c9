"$EDGELLM" list mixes | sed 's/ .*//' > types
printf '%s\n' G4_32 G3_128Z G8_ROW g2_64z >> types
while read -r t; do
    el quantize --force "$M" o.gguf "$t" < /dev/null
    el verify o.gguf < /dev/null
    "$EDGELLM" run -m o.gguf -q --temp 0 -n 4 "The garden" > text < /dev/null
    [ -s text ] || fail "$t: no text"
done < types
