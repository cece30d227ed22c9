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
