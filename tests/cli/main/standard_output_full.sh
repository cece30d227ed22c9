[ -w /dev/full ] || skip "no /dev/full"
for c in "--help" "--list" "--version" "--version --json" "info $M" "info --json $M" "verify $Q" "tokenize -m $M hello" "run -m $M -n 4 --temp 0 hello" \
         "completion bash" "help run" "eval ppl -m $Q -f $T --chunks 1" "bench -m $Q -p 8 -n 2 -r 1" "quantize --dry-run $M Q8_0"; do
    code=0
    # shellcheck disable=SC2086
    "$EDGELLM" $c > /dev/full 2> err < /dev/null || code=$?
    [ "$code" -eq 4 ] || fail "exit code $code, expected 4: $c"
    has err 'standard output: '
done
