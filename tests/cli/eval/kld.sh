el eval kld -m "$Q" --base "$M" -f "$T" --chunks 2 --json
is "$(json n_tokens)" 510
is "$(json base_sha256)" "\"$(sha256sum < "$M" | cut -d' ' -f1)\""
is "$(json model_sha256)" "\"$(sha256sum < "$Q" | cut -d' ' -f1)\""
for k in ppl ppl_base kld_mean kld_mean_stderr kld_median kld_max kld_p99 same_top delta_p_mean delta_p_rms ln_ppl_ratio; do has out "\"$k\": [-0-9]"; done
awk -v k="$(json kld_mean)" -v s="$(json same_top)" 'BEGIN { exit !(k > 1e-5 && k < 0.02 && s > 0.85 && s < 1) }' || fail "out of range"
cp out first
for o in "-t 1" "-b 100" "--batch 1024 -t 3" "-c 512" "--ctx 512"; do
    # shellcheck disable=SC2086
    el eval kld -m "$Q" --base "$M" -f "$T" --chunks 2 --json $o
    same out first
done
# Both perplexities are those of eval ppl.
p=$(json ppl) b=$(json ppl_base)
el eval ppl -m "$Q" -f "$T" --chunks 2 --json && near "$(json ppl)" "$p" 1e-9
el eval ppl -m "$M" -f "$T" --chunks 2 --json && near "$(json ppl)" "$b" 1e-9
el eval kld -m "$M" --base "$M" -f "$T" --chunks 1 --json
is "$(json kld_max)" 0
is "$(json same_top)" 1
el eval kld -m "$Q" --base "$M" -f "$T" --chunks 1
for l in 'Mean PPL(Q)  ' 'Mean PPL(base)  ' 'Mean ln(PPL(Q)/PPL(base))' 'Mean    KLD:' 'Maximum KLD:' '99.9%   KLD:' 'Median  KLD:' 'RMS Δp' 'Same top p:'; do has out "^$l"; done
el eval kld -m "$Q" --base "$M" -f "$T" --chunks 1 -ctk f32 -ctv f32 --cpu ref --json
is "$(json type_k)" '"f32"'
