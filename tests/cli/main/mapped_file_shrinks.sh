cp "$M" m.gguf
"$EDGELLM" bench -m m.gguf -p 0 -n 64 -r 100000 -o jsonl > out 2> err &
pid=$!
sleep 1
: > m.gguf
code=0; wait $pid || code=$?
is "$code" 4
has err 'shorter or unreadable'
