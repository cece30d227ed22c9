rc 2 "$EDGELLM" diff "$M"
rc 2 "$EDGELLM" diff "$M" "$M" "$M"
rc 2 "$EDGELLM" diff --values --directory "$M" "$M"
has err "'--directory' and '--values' exclude each other"
rc 4 "$EDGELLM" diff "$M" nofile
head -c 1000 "$M" > cut.gguf
rc 3 "$EDGELLM" diff "$M" cut.gguf
has err 'cut.gguf'
one_line err
empty out
# Names of a file never reach the terminal as they are.
e=$(printf '\033')
el convert --override-kv "general.name=str:a${e}[2Jb" "$M" o.gguf
rc 1 "$EDGELLM" diff "$M" o.gguf
lacks out "$e"
has out 'a\\x1b\[2Jb'
