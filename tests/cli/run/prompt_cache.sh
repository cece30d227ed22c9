# The text is the same with the cache, without it, and with one that fits in part.
p="Once upon a time there was a garden, and in the garden there was"
go() { el run -m "$M" -n 12 --temp 0 --json "$@"; }
go "$p"
want=$(json text)
go --prompt-cache c "$p"
is "$(json text) $(json n_cached)" "$want 0"
n=$(json n_prompt)
cp c c1
go --prompt-cache c "$p"
is "$(json text) $(json n_cached)" "$want $n"
same c c1
# Another end: what begins alike is taken, and the file follows the new prompt.
go "$p a wall"
other=$(json text)
go --prompt-cache c --prompt-cache-ro "$p a wall"
is "$(json text) $(json n_cached)" "$other $n"
same c c1
go --prompt-cache c "$p a wall"
is "$(json text) $(json n_cached)" "$other $n"
differ c c1
go --prompt-cache c "$p"
is "$(json text) $(json n_cached)" "$want $n"
# Nothing alike, a shorter prompt, sampling, another batch size.
go --prompt-cache c1 --prompt-cache-ro "Twice"
[ "$(json n_cached)" -le 1 ] || fail "more than BOS is taken"
go --prompt-cache c1 --prompt-cache-ro "Once upon a time"
short=$(json text)
go "Once upon a time"
is "$(json text)" "$short"
el run -m "$M" -n 20 --seed 3 --repeat-penalty 1.3 --json "$p"
sampled=$(json text)
el run -m "$M" -n 20 --seed 3 --repeat-penalty 1.3 -b 3 --json --prompt-cache c1 "$p"
is "$(json text)" "$sampled"
# All: the text goes on where it ended.
go --prompt-cache all --prompt-cache-all "$p"
go --prompt-cache all --prompt-cache-ro "$p$(sed -n 's/^  "text": "\(.*\)",$/\1/p' out)"
[ "$(json n_cached)" -gt "$n" ] || fail "the text is not in the cache"
# Refused: another model, other values, types or CPU level; damage. The file stays.
refuse() { local code=$1 why=$2; shift 2; rc "$code" "$EDGELLM" run "$@" --prompt-cache c1 "$p"; one_line err; has err "$why"; }
cp c1 c0
refuse 8 "made with another model" -m "$Q" -n 1
refuse 8 "made with another model" -m "$M" -n 1 --override-kv llama.rope.freq_base=float:5000
refuse 8 "keys of type f16, this run has f32" -m "$M" -n 1 -ctk f32
refuse 8 "values of type f16, this run has f32" -m "$M" -n 1 -ctv f32
case $("$EDGELLM" version --json 2> /dev/null | grep -o '"kernels": "[a-z0-9]*"') in
*ref*) ;;
*) refuse 8 "CPU level" -m "$M" -n 1 --cpu ref ;;
esac
same c0 c1
printf 'x' | dd of=c1 bs=1 seek=5000 conv=notrunc 2> /dev/null
refuse 7 "SHA-256" -m "$M" -n 1
cp c0 c1; printf '\377' | dd of=c1 bs=1 seek=8 conv=notrunc 2> /dev/null
refuse 8 "version 255, known is" -m "$M" -n 1
head -c 100 c0 > c1; refuse 3 "100 bytes, at least" -m "$M" -n 1
head -c 5 c0 > c1; refuse 3 "not a prompt cache" -m "$M" -n 1
cp "$M" c1; refuse 3 "not a prompt cache" -m "$M" -n 1
cp c0 c1; echo x >> c1; refuse 7 "SHA-256" -m "$M" -n 1
# An empty file is as good as none.
: > c1
go --prompt-cache c1 "$p"
is "$(json text) $(json n_cached)" "$want 0"
same c0 c1
# A file that cannot be written is said when the text is out.
go "$p"
for o in "" --prompt-cache-all; do
    # shellcheck disable=SC2086
    rc 4 "$EDGELLM" run -m "$M" -n 12 --temp 0 --json --prompt-cache no/where $o "$p"
    is "$(json text)" "$want"
    one_line err
    has err "'no/where': cannot "
done
rc 2 "$EDGELLM" run -m "$M" -n 1 --prompt-cache c0 --prompt-cache-ro --prompt-cache-all "$p"
has err "exclude each other"
rc 2 "$EDGELLM" run -m "$M" -n 1 --prompt-cache-all "$p"
has err "option '--prompt-cache-all' needs --prompt-cache"
rc 2 "$EDGELLM" run -m "$M" -n 1 --prompt-cache-ro "$p"
# A folder and its files are one model.
el run -m "$B" -n 2 --prompt-cache folder "$p"
el run -m "$B" -n 2 --prompt-cache folder --json "$p"
is "$(json n_cached)" "$n"
