# Perplexity of the first 8 windows by torch 2 in float32 (scripts/fixtures), and by llama-perplexity.
want=$(sed -n 's/^ppl_8_windows //p' "$EL_TEST_DATA/text/reference.txt" 2> /dev/null) || true
[ -n "$want" ] || skip "no reference value"
el eval ppl -m "$B" -f "$T" --chunks 8 -ctk f32 -ctv f32 --json
near "$(json ppl)" "$want" 0.0002
