el info --json "$Q"
is "$(json format)" '"gguf"'
has out '"general.architecture": "llama"'
has out '"bits_per_weight": 4.5,'
has out '"Q4_K": {'
el info --json --tensors "$Q"
is "$(grep -c '"name": ' out)" 47
lacks out '"general.architecture"'
el info --json --metadata tokenizer.ggml.bos_token_id "$Q"
is "$(cat out)" 0
el info --json --metadata general.architecture "$Q"
is "$(cat out)" '"llama"'
