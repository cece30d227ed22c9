"$EDGELLM" list cpu-levels | sed 's/ .*//' > levels
while read -r level; do
    if "$EDGELLM" run --cpu "$level" -m "$Q" --temp 0 -n 24 "The garden was" > "text.$level" 2> err < /dev/null; then
        [ -s "text.$level" ] || fail "no text at $level"
        same "text.$level" text.ref
        "$EDGELLM" quantize -q --cpu "$level" "$M" "$level.gguf" Q4_K_S < /dev/null
        same "$level.gguf" ref.gguf
    else
        has err 'CPU'
    fi
done < levels
