for t in 1 2 3 8; do
    el convert -t $t --type f16 "$B" $t.gguf
    same 1.gguf $t.gguf
done
same 1.gguf "$M"
