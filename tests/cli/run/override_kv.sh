el run -m "$M" --temp 0 -n 20 "Once upon a time" && cp out first
el run -m "$M" --temp 0 -n 20 --override-kv llama.rope.freq_base=float:100 "Once upon a time"
differ out first
