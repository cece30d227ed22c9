rc 1 "$EDGELLM" diff "$M" "$Q"
empty err
has out '^changed  blk.0.attn_q.weight .*Q4_K '
has out '^added  *general.quantization_version\|^changed  *general.file_type'
has out '^weights that differ in bytes: relative RMSE 0\.0[0-9]*, '
rc 1 "$EDGELLM" diff --json "$M" "$Q"
is "$(json equal)" false
rmse=$(sed -n 's/^    "relative_rmse": \([0-9.e-]*\),$/\1/p' out)
awk -v r="$rmse" 'BEGIN { exit !(r > 0.01 && r < 0.2) }' || fail "relative RMSE $rmse"
rc 1 "$EDGELLM" diff --directory "$M" "$Q"
has out '^changed  blk.0.attn_q.weight '
lacks out '^weights that differ'
# Other metadata only.
el convert --override-kv general.name=str:other "$M" named.gguf
rc 1 "$EDGELLM" diff "$M" named.gguf
has out 'general.name  .*other'
el diff --no-metadata "$M" named.gguf
# Other shapes, and names that only one of them has.
rc 1 "$EDGELLM" diff --directory "$M" "$EL_TEST_DATA/fixtures/gpt-bigcode"
has out '^shape  *token_embd.weight '
has out '^removed  *blk.0.ffn_gate.weight .* - *- '
has out '^added  *position_embd.weight *- *- '
