el convert "$B" o.gguf
cp o.gguf before
rc 4 "$EDGELLM" convert --type f32 "$B" o.gguf
one_line err
same o.gguf before
el convert --force --type f32 "$B" o.gguf
differ o.gguf before
rc 4 "$EDGELLM" convert "$B" nodir/o.gguf
rc 4 "$EDGELLM" convert nofile.gguf p.gguf
has err nofile.gguf
echo '<html>404</html>' > bad.gguf
rc 3 "$EDGELLM" convert bad.gguf p.gguf
printf 'version https://git-lfs.github.com/spec/v1\n' > lfs.gguf
rc 3 "$EDGELLM" convert lfs.gguf p.gguf
has err 'lfs'
: > empty.gguf
rc 3 "$EDGELLM" convert empty.gguf p.gguf
ln o.gguf hard.gguf
code=0; "$EDGELLM" convert --force o.gguf hard.gguf 2> err || code=$?
[ "$code" -ne 0 ] || fail "input and output are the same file"
code=0; "$EDGELLM" convert --force o.gguf o.gguf 2> err || code=$?
[ "$code" -ne 0 ] || fail "input and output are the same file"
no_files p.gguf nodir
[ -z "$(find . -name '.*.tmp*')" ] || fail "temporary files are left"
rc 8 "$EDGELLM" convert "$Q" folder-of-quantized
has err 'cannot be stored in safetensors, only F32, F16, BF16 (see --type)$'
