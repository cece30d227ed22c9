# Of every family: folder to GGUF to folder to GGUF gives the same logits with F16 tensors too, whether the folder has matrices transposed
# (gpt2), norms of heads apart (stablelm), names of its own (opt), experts (qwen2moe), factors in its config (phi3) or gains less 1
# (gemma3); what is written is found good.
for f in gpt2 gpt2-untied granite mistral-window opt-350m opt-no-bias qwen3 stablelm-parallel starcoder2-window qwen2moe qwen3moe olmoe phi3-long gemma2 \
    gemma3; do
    el convert --type f16 "$EL_TEST_DATA/fixtures/$f" one.gguf
    el convert one.gguf folder
    el convert folder two.gguf
    el verify one.gguf
    el verify folder
    for m in one.gguf folder two.gguf; do
        el eval logits --force -m $m --tokens "$EL_TEST_DATA/fixtures/$f/ids.txt" -o "$m.st"
    done
    same one.gguf.st folder.st
    same one.gguf.st two.gguf.st
    for t in Q8_0 Q4_0 Q4_K_M; do
        el quantize --force one.gguf q.gguf $t
        el verify q.gguf
        el eval logits --force -m q.gguf --tokens "$EL_TEST_DATA/fixtures/$f/ids.txt" -o q.st
    done
    rm -r folder one.gguf two.gguf
done
# A window that another converter has left out can be given back; one that is there is kept.
W=$EL_TEST_DATA/fixtures/mistral-window
el convert "$W" with.gguf
el convert --override-kv llama.attention.sliding_window=int:0 --override-kv edgellm.family=str:llama "$W" without.gguf
el eval logits -m with.gguf --tokens "$W/ids.txt" -o with.st
el eval logits -m without.gguf --tokens "$W/ids.txt" -o without.st
differ with.st without.st
el eval logits -m without.gguf --override-kv llama.attention.sliding_window=int:12 --tokens "$W/ids.txt" -o given.st
same with.st given.st
el convert with.gguf folder
grep -q '"MistralForCausalLM"' folder/config.json || fail "the family is lost"
el convert without.gguf other
grep -q '"LlamaForCausalLM"' other/config.json || fail "the family is not the one that was given"
