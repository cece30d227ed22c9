mkdir m
cp "$B/config.json" "$B/model.safetensors" m/
code=0
"$EDGELLM" run -m m -n 2 x > out 2> err || code=$?
[ "$code" -ne 0 ] || fail "text without a tokenizer"
el run -m m --tokenizer "$B/tokenizer.json" --temp 0 -n 6 "The garden"
mv out a
el run -m "$B" --temp 0 -n 6 "The garden"
same out a
# Threads are as many as were asked for, and batches of any size give the same text.
for t in 1 2 3; do
    el run -m "$M" -t $t --json -n 1 x
    is "$(json n_threads)" $t
done
rc 2 "$EDGELLM" run -m "$M" -b 0 x
for b in 1 2; do
    el run -m "$B" -b $b --temp 0 -n 6 "The garden"
    same out a
done
