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
# It fails where the real run would.
rc 4 "$EDGELLM" quantize --dry-run "$M" nodir/o.gguf Q8_0
echo > o.gguf
rc 4 "$EDGELLM" quantize --dry-run "$M" o.gguf Q8_0
has err '(--force replaces it)$'
el quantize --dry-run --force "$M" o.gguf Q8_0
is "$(cat o.gguf)" ""
