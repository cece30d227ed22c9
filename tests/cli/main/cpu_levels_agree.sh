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
# What the pages say is the table, in its order (arm64's names stand behind the others).
man=$EL_TEST_DATA/../../man
names=$(paste -sd, levels | sed 's/,/, /g')
case $(uname -m) in aarch64) names="on arm64 $names;" ;; *) names="than this: $names, or on arm64" ;; esac
for page in "$man"/*.1; do
    if grep -q 'Use no more of the CPU than this:' "$page"; then has "$page" "$names"; fi
done
has "$man/edgellm.1" "^.Cm $(paste -sd, levels | sed 's/,/ , /g') ,$"
