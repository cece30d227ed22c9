# Fewer bits lose more, for quantized weights and for floats; 8 bits of blocks are what quantized weights see anyway.
kld() { el eval kld --base "$M" -f "$T" --chunks 1 --json "$@"; json kld_mean; }
a=$(kld -m "$Q") b=$(kld -m "$Q" --act-bits 8) c=$(kld -m "$Q" --act-bits 4) d=$(kld -m "$Q" --act-bits 4 --act-granularity token)
is "$a" "$b"
awk -v a="$a" -v c="$c" -v d="$d" 'BEGIN { exit !(2 * a < c && c < d) }' || fail "not ever worse: $a $c $d"
is "$(json act_bits)" 4
is "$(json act_granularity)" '"token"'
e=$(kld -m "$M" --act-bits 6) f=$(kld -m "$M" --act-bits 5)
awk -v e="$e" -v f="$f" 'BEGIN { exit !(e > 0 && e < f) }' || fail "floats: $e $f"
el eval kld -m "$Q" --base "$M" -f "$T" --chunks 1 --act-bits 4
has out '^activations of the model, not of the reference: 4 bits, a scale per block$'
el eval ppl -m "$Q" -f "$T" --chunks 1 --act-bits 3 --act-granularity token
has out '^activations of 3 bits, a scale per token$'
el eval logits -m "$Q" --tokens "$EL_TEST_DATA/fixtures/llama/ids.txt" -o a.safetensors
el eval logits -m "$Q" --tokens "$EL_TEST_DATA/fixtures/llama/ids.txt" -o b.safetensors --act-bits 5
differ a.safetensors b.safetensors
for o in "--act-bits 9" "--act-bits 1" "--act-bits 0" "--act-granularity token"; do
    for c in "ppl -f $T" "kld -f $T --base $M" "logits --tokens $T -o x"; do
        # shellcheck disable=SC2086
        rc 2 "$EDGELLM" eval $c -m "$Q" $o
    done
done
has err "option '--act-granularity' is for --act-bits"
