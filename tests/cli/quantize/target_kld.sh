# The smallest within a divergence; more tries do not make a plan worse.
few=(--types Q2_K,Q4_K,Q8_0 --no-descent --chunks 2 --measure-chunks 1)
el quantize --json "${few[@]}" --tries 3 --max-kld 0.05 "$M" a.gguf
has out '"target": "--max-kld 0.05"'
taken=$(json plan_taken)
awk -v t="$taken" '/"measured_kld":/ { gsub(/,/, ""); if (n++ == t) exit !($2 <= 0.05) }' out || fail "the plan that was taken is measured above the divergence"
el quantize --json "${few[@]}" --tries 0 --sensitivity shiftadd --max-kld 0.5 "$M" b.gguf
has out '"measured_kld": null'
[ "$(stat -c %s b.gguf)" -lt "$(stat -c %s a.gguf)" ] || fail "more divergence is not smaller"
el quantize -q "${few[@]}" --sensitivity kld --max-kld 0.5 "$M" c.gguf
el verify c.gguf
