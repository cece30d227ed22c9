for m in "$B" "$M" "$Q" "$B/tokenizer.json"; do
    el verify "$m"
    has out ': ok'
done
el verify --strict "$Q"
el verify --json "$Q"
is "$(json ok)" true
is "$(json n_errors)" 0
is "$(json error)" null
