e=$(printf '\033')
el convert --override-kv "general.name=str:a${e}[2Jb" "$B" o.gguf
el info o.gguf
lacks out "$e"
has out 'a\\x1b\[2Jb'
el info --json o.gguf
lacks out "$e"
has out 'a\\u001b'
el info --metadata general.name o.gguf
has out "$e"
tty_run "$EDGELLM" info --metadata general.name o.gguf
lacks out "$e"
