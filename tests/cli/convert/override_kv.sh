el convert --override-kv general.name=str:Books --override-kv llama.context_length=int:256 "$B" o.gguf
el info --metadata general.name o.gguf
is "$(cat out)" Books
el info --metadata llama.context_length o.gguf
is "$(cat out)" 256
rc 2 "$EDGELLM" convert --override-kv nonsense "$B" p.gguf
no_files p.gguf
