el run -m "$M" --temp 0 -n 20 "Once upon a time" && cp out first
for o in "-ctk f32 -ctv f32" "--kv-type-k f16 --kv-type-v f16" "--cache-type-k f32 --cache-type-v f16"; do
    # shellcheck disable=SC2086
    el run -m "$M" --temp 0 -n 20 $o "Once upon a time"
    same out first
done
rc 2 "$EDGELLM" run -m "$M" -ctk q9 x
# The type has an effect on the logits.
el eval ppl -m "$M" -f "$T" --chunks 1 --json && a=$(json nll)
el eval ppl -m "$M" -f "$T" --chunks 1 --json -ctk f32 && b=$(json nll)
el eval ppl -m "$M" -f "$T" --chunks 1 --json -ctv f32 && c=$(json nll)
[ "$a" != "$b" ] && [ "$a" != "$c" ] && [ "$b" != "$c" ] || fail "equal: $a $b $c"
near "$a" "$b" 0.001
el run -m "$M" --json -n 1 -ctk f32 x
is "$(json type_k) $(json type_v)" '"f32" "f16"'
el run -m "$M" --json -n 1 -ctv f32 x
is "$(json type_k) $(json type_v)" '"f16" "f32"'
# q8_0: close to f16, whatever the batch and the threads; and the cache of a prompt goes on with the same text.
el eval ppl -m "$M" -f "$T" --chunks 1 --json -ctk q8_0 && d=$(json nll)
el eval ppl -m "$M" -f "$T" --chunks 1 --json -ctv q8_0 && e=$(json nll)
[ "$a" != "$d" ] && [ "$a" != "$e" ] && [ "$d" != "$e" ] || fail "equal: $a $d $e"
near "$a" "$d" 0.01
near "$a" "$e" 0.01
go() { el run -m "$M" --temp 0 -n 12 -ctk q8_0 -ctv q8_0 --json "$@" "Once upon a time there was a garden, and in the"; }
go -t 1 -b 3
want=$(json text)
is "$(json type_k) $(json type_v)" '"q8_0" "q8_0"'
go -t 2
is "$(json text)" "$want"
go --prompt-cache q8
go --prompt-cache q8
is "$(json text)" "$want"
[ "$(json n_cached)" -gt 1 ] || fail "nothing was cached"
rc 8 "$EDGELLM" run -m "$M" -n 1 --prompt-cache q8 -ctk f32 "Once upon a time"
has err "made with keys of type q8_0, this run has f32"
el bench -m "$M" -p 4 -n 4 -d 20 -r 1 -ctk f16,q8_0 -ctv q8_0 -o csv
