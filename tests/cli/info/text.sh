el info "$Q"
has out ': gguf, 47 tensors, 4.98 M weights, 3.05 MiB, 5\.[0-9]* bits per weight$'
has out '  str  *general.architecture = llama'
has out 'tokenizer.ggml.tokens = \[<|endoftext|>, !, '
has out '^Q6_K  *5 '
has out '^all  *47  *4983552'
has out '^blk.0.attn_q.weight  *256 x 256 .*Q4_K  *4.50  *36864'
empty err
el info --tensors "$Q"
is "$(wc -l < out)" 48
lacks out 'general.architecture'
el info "$B"
has out 'model.layers.0.self_attn.q_proj.weight'
