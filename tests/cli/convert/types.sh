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
