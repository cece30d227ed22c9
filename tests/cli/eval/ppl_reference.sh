# llama-perplexity (llama.cpp 3f545be) -c 512 --chunks 8 -ctk f32 -ctv f32 on the F32 GGUF: "PPL = 45.6069 +/- 2.63557"
el convert --type f32 "$B" f32.gguf
for m in f32.gguf "$B"; do
    el eval ppl -m "$m" -f "$T" --chunks 8 -ctk f32 -ctv f32 --json
    near "$(json ppl)" 45.6069 0.00002
    near "$(json ppl_stderr)" 2.63557 0.0001
done
