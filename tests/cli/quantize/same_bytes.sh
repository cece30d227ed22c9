for t in 1 2 3 8; do
    el quantize -t $t --force "$B" $t.gguf Q4_K_M
    same $t.gguf 1.gguf
    el quantize --force "$B" w.gguf G4_32Z $t
    [ -f first.gguf ] || cp w.gguf first.gguf
    same w.gguf first.gguf
done
