cp "$M" bad.gguf
# An infinite weight in the last tensor (F32).
size=$(stat -c %s bad.gguf)
printf '\000\000\200\177' | dd of=bad.gguf bs=1 seek=$((size - 4)) conv=notrunc status=none
rc 3 "$EDGELLM" verify bad.gguf
has out '^error: '
one_line err
rc 3 "$EDGELLM" verify --json bad.gguf
is "$(json ok)" false
is "$(json n_errors)" 1
has out '"severity": "error"'
head -c 4000000 "$M" > cut.gguf
rc 3 "$EDGELLM" verify cut.gguf
rc 3 "$EDGELLM" verify --json cut.gguf
is "$(json ok)" false
lacks out '"error": null'
rc 4 "$EDGELLM" verify nofile
rc 4 "$EDGELLM" verify --json nofile
is "$(json ok)" false
is "$(json n_errors)" 1
has out '"severity": "error"'
one_line err
