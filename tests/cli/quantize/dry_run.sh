el quantize --dry-run "$M" Q4_K_M
has out '^token_embd.weight  *4096 x 256  F16 -> Q6_K'
has out '^47 tensors: '
empty err
[ -z "$(ls | grep -v -e '^out$' -e '^err$')" ] || fail "files: $(ls)"
el quantize --dry-run --json "$M" Q4_K_M
is "$(json dry_run)" true
size=$(json nbytes_after)
el info --json "$Q"
has out "\"nbytes\": $size,"
