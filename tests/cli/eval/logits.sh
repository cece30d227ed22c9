"$EDGELLM" tokenize -m "$M" --add-special "Once upon a time there was a garden" > ids
n=$(wc -w < ids)
el eval logits -m "$M" --tokens ids -o l.safetensors
empty out
el info --tensors l.safetensors
has out "^ids  *$n  I32\|^ids " || true
el info --json l.safetensors
has out '"name": "logits"'
has out "\"shape\": \[$n, 4096\]"
for o in "-b 1" "--batch 2" "-t 1 -b 7" "-w 0" "--window 1000"; do
    # shellcheck disable=SC2086
    el eval logits --force -m "$M" --tokens ids --output other.safetensors $o
    same l.safetensors other.safetensors
done
"$EDGELLM" eval logits --force -m "$M" --tokens - -o other.safetensors < ids
same l.safetensors other.safetensors
el eval logits --force -m "$M" --tokens ids -w 3 -o other.safetensors
differ l.safetensors other.safetensors
el eval logits --force -m "$M" --tokens ids -ctk f32 -o other.safetensors
differ l.safetensors other.safetensors
el eval logits --force -m "$M" --tokens ids -ctv f32 -o other.safetensors
differ l.safetensors other.safetensors
rc 2 "$EDGELLM" eval logits --cpu fast -m "$M" --tokens ids -o x.safetensors
has err "option '--cpu'"
el eval logits --force --cpu ref -m "$M" --tokens ids -o other.safetensors
el eval logits --force -m "$M" --tokens ids --override-kv llama.rope.freq_base=float:100 -o other.safetensors
differ l.safetensors other.safetensors
rc 4 "$EDGELLM" eval logits -m "$M" --tokens ids -o l.safetensors
rc 2 "$EDGELLM" eval logits -m "$M" --tokens ids
rc 2 "$EDGELLM" eval logits -m "$M" -o x.safetensors
rc 2 "$EDGELLM" eval logits --tokens ids -o x.safetensors
: > none
rc 3 "$EDGELLM" eval logits -m "$M" --tokens none -o x.safetensors
echo "1 5000" > many
rc 3 "$EDGELLM" eval logits -m "$M" --tokens many -o x.safetensors
has err 'not below 4096'
no_files x.safetensors
rc 2 "$EDGELLM" eval logits -m "$M" --tokens ids -o -
has err "option '--output': "
no_files ./-
