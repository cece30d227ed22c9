# The weights of a cache are those of the model; whatever else stands there is replaced when it is a cache, and else left alone.
p="Once upon a time"
cp "$Q" m.gguf
go() { el run -m m.gguf -n 8 --temp 0 "$@" "$p"; }
go
cp out want
go --cache c
grep -q "no matrix of this model is re-laid" err && skip "this CPU level re-lays nothing"
same out want
one_line err
has err "^edgellm: cache 'c' written$"
el verify c
has out "^c: ok$"
cp c c0
go --cache c
same out want
empty err
same c c0
# Other commands take it too; several models cannot share one.
printf 'Once upon a time there was a garden, and in the garden there was a wall.' > text
el eval ppl -m m.gguf -f text -c 8
cp out ppl
el eval ppl -m m.gguf -f text -c 8 --cache c
same out ppl
echo 1 2 3 > ids
el eval logits -m m.gguf --tokens ids -o a.safetensors
el eval logits -m m.gguf --tokens ids -o b.safetensors --cache c
same a.safetensors b.safetensors
el bench -m m.gguf -p 4 -n 0 -r 1 --cache c
empty err
same c c0
rc 2 "$EDGELLM" bench -m m.gguf -m "$Q" -p 4 -n 0 -r 1 --cache c
has err "a cache is of one model, 2 are given"
# Made anew: the model's file has changed, damage, a cut, an empty file.
anew() {
    go --cache c
    same out want
    has err "^edgellm: cache 'c' written$"
    has err "$1"
    go --cache c
    empty err
}
touch -d '2001-02-03 04:05:06' m.gguf
anew "made anew: .*'c': made of another model, or the model has changed since"
cp c c0
printf 'x' | dd of=c bs=1 seek=$(($(grep -abo strip16.2 c | head -n 1 | cut -d: -f1) + 8)) conv=notrunc 2> /dev/null
rc 3 "$EDGELLM" verify c
has err "'strip16.x', must be strip16.2"
anew "made anew: .*'strip16.x', must be strip16.2"
same c c0
head -c 9000 c0 > c
anew "made anew: 'c': "
same c c0
: > c
anew "written"
same c c0
# A byte of a matrix: verify says it.
printf '\125\252\125\252' | dd of=c bs=1 seek=$(($(stat -c %s c) / 2)) conv=notrunc 2> /dev/null
rc 3 "$EDGELLM" verify c
has out "error: tensor '.*.strips': its bytes do not have the stored hash"
# Quiet.
: > c
go -q --cache c
empty err
# What is no cache stays as it is.
echo "dear diary" > diary
for f in m.gguf diary .; do
    rc 2 "$EDGELLM" run -m m.gguf -n 1 --cache "$f" "$p"
    has err "option '--cache': '$f' is something else than a cache, and is not replaced"
done
is "$(cat diary)" "dear diary"
for f in - ''; do
    rc 2 "$EDGELLM" run -m m.gguf -n 1 --cache "$f" "$p"
    has err "option '--cache': '$f' is no file name"
done
# A cache that cannot be written is no failure, and leaves nothing.
go --cache no/where
same out want
one_line err
has err "^edgellm: warning: no cache is written: 'no/where': "
# Nothing to keep: floats.
el run -m "$M" -n 1 --cache f16.cache "$p"
one_line err
has err "warning: no cache is written: no matrix of this model is re-laid"
no_files f16.cache
