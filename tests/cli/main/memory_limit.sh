limited() { bash -c 'ulimit -v "$1"; shift; exec "$@"' bash "$@"; }
limited 100000 "$EDGELLM" --version > /dev/null 2>&1 || skip "cannot start with little memory (a sanitizer)"
code=0; limited 100000 "$EDGELLM" eval logits -q -m "$M" --tokens <(yes 1 | head -n 50000) -o l.safetensors > out 2> err || code=$?
is "$code" 5
one_line err
has err 'out of memory'
no_files l.safetensors
code=0; limited 100000 "$EDGELLM" run -q -m "$M" -c 1000000 -n 999999 x > out 2> err || code=$?
is "$code" 5
has err "memory"
one_line err
