rc 4 "$EDGELLM" info nofile
rc 4 "$EDGELLM" info /dev/null
: > empty
rc 3 "$EDGELLM" info empty
rc 2 "$EDGELLM" info
mkfifo pipe
rc 4 timeout 10 "$EDGELLM" info pipe
head -c 1000 "$M" > cut.gguf
rc 3 "$EDGELLM" info cut.gguf
has err 'cut.gguf'
one_line err
empty out
