for t in f32 f16 bf16; do
    el convert --type $t "$B" $t.gguf
    el info --json $t.gguf
    has out "\"$(echo $t | tr a-z A-Z)\": {"
    has out '"F32": {'
done
# The weights of the bundled model are exact in all of them.
for t in f32 f16 bf16; do
    "$EDGELLM" run -m $t.gguf --temp 0 -n 16 "The garden was" > text.$t
    same text.f32 text.$t
done
el convert --outtype f16 "$B" other.gguf
same f16.gguf other.gguf
el convert --type copy "$Q" q.gguf
has err 'Q4_K'
el convert --type f32 "$Q" q32.gguf
lacks err 'Q4_K$'
"$EDGELLM" run -m q.gguf --temp 0 -n 8 --cpu ref "The garden was" > a
"$EDGELLM" run -m "$Q" --temp 0 -n 8 --cpu ref "The garden was" > b
same a b
# A plain conversion to GGUF leaves the matrices as they are and makes the vectors F32, which other programs need; a copy keeps them.
el convert "$B" plain.gguf
el info --json plain.gguf
has out '"BF16": {'
has out '"F32": {'
el convert --type copy "$B" whole.gguf
el info --json whole.gguf
lacks out '"F32": {'
el convert --type copy whole.gguf back
cmp back/model.safetensors "$B/model.safetensors" || fail "a copy to GGUF and back differs"
# By default matrices stay, and GGUF has its vectors in F32; --type copy changes nothing.
el convert "$B" auto.gguf
el info --tensors auto.gguf
has out '^output_norm.weight .* F32 '
has out '^blk.0.attn_q.weight .* BF16 '
el convert --type copy "$B" copy.gguf
el info --tensors copy.gguf
has out '^output_norm.weight .* BF16 '
