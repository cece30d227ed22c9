for t in 1 2 3 8; do
    el convert -t $t --type f16 "$B" $t.gguf
    same 1.gguf $t.gguf
done
same 1.gguf "$M"
el convert --cpu ref --type f16 "$B" ref.gguf
same 1.gguf ref.gguf
rc 2 "$EDGELLM" convert --cpu fast "$B" x.gguf
rc 2 "$EDGELLM" convert -t 2000 "$B" x.gguf
