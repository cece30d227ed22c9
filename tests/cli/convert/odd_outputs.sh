mkfifo pipe.gguf
rc 4 timeout 20 "$EDGELLM" convert --force "$M" pipe.gguf
[ -p pipe.gguf ] || fail "the FIFO was replaced"
if mknod null.gguf c 1 3 2> /dev/null; then
    rc 4 "$EDGELLM" convert --force "$M" null.gguf
    [ -c null.gguf ] || fail "the device was replaced"
fi
# A name that is not UTF-8, and one with control characters: the file is written, the message is readable.
name=$(printf 'a\377\033[31m.gguf')
el convert "$M" "$name"
[ -s "$name" ] || fail "no file"
rc 4 "$EDGELLM" convert "$M" "$name"
lacks err "$(printf '\033')"
# A link to a file: the file it points to is not touched without --force, nor is a dangling one followed in silence.
echo keep > target
ln -s target link.gguf
rc 4 "$EDGELLM" convert "$M" link.gguf
is "$(cat target)" keep
[ -z "$(find . -name '.*.tmp*')" ] || fail "temporary files are left"
umask 077
el convert "$M" private.gguf
is "$(stat -c %a private.gguf)" 600
umask 022
el convert "$M" public.gguf
is "$(stat -c %a public.gguf)" 644
