code=0; bash -c 'ulimit -f 1000; exec "$@"' bash "$EDGELLM" quantize "$M" o.gguf Q8_0 > out 2> err || code=$?
is "$code" 4
one_line err
no_files o.gguf
[ -z "$(find . -name '.*.tmp*')" ] || fail "temporary files are left"
