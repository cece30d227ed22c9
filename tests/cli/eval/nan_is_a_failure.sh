# An infinite norm makes every logit infinite or NaN: no perplexity is printed.
cp -r "$B" m
chmod -R u+w m
at=$("$EDGELLM" info --tensors --json "$B" | awk '/"name": "output_norm.weight"/ { f = 1 } f && /"offset"/ { gsub(/,/, ""); print $2; exit }')
for i in $(seq 0 20); do printf '\300\177'; done | dd of=m/model.safetensors bs=1 seek="$at" conv=notrunc status=none
rc 1 "$EDGELLM" eval ppl -m m -f "$T" --chunks 1 --json
empty out
one_line err
rc 1 "$EDGELLM" run -m m --temp 0 -n 4 hello
rc 1 "$EDGELLM" eval kld -m m --base "$M" -f "$T" --chunks 1
empty out
echo "1 2 3" > ids
rc 1 "$EDGELLM" eval logits -m m --tokens ids -o l.safetensors
no_files l.safetensors
