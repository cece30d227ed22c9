el quantize --override-kv general.name=str:Small "$M" o.gguf Q8_0
el info --metadata general.name o.gguf
is "$(cat out)" Small
