printf 'Once upon a time.\n<|endoftext|>\n  The garden was old.  <|endoftext|>   \n' > docs.txt
printf '["Once upon a time.", "\\n The garden was old. "]' > docs.json
el eval ppl -m "$M" -f docs.txt --protocol documents --json
is "$(json n_windows)" 2
n=$(for s in 'Once upon a time.' 'The garden was old.'; do "$EDGELLM" tokenize -m "$M" "$s" | wc -w; done | awk '{ n += $1 } END { print n }')
is "$(json n_tokens)" "$n"
is "$(json n_bytes)" 36
is "$(json bos)" true
grep -v sha256 out > first
el eval ppl -m "$M" -f docs.json --protocol documents --json
grep -v sha256 out > second && same first second
sed 's/<|endoftext|>/@@/' docs.txt > other.txt
el eval ppl -m "$M" -f other.txt --protocol documents --separator @@ --json
grep -v sha256 out > second && same first second
el eval ppl -m "$M" -f docs.txt --protocol documents --json -b 3
grep -v sha256 out > second && same first second
el eval ppl -m "$M" -f docs.txt --protocol documents --json -c 4
is "$(json n_tokens)" 6
el eval ppl -m "$M" -f docs.txt --protocol documents --json --max-tokens 2
is "$(json n_tokens)" 2
el eval ppl -m "$M" -f docs.txt --protocol documents --json --chunks 1
is "$(json n_windows)" 1
rc 2 "$EDGELLM" eval ppl -m "$M" -f docs.txt --separator @@
printf '   <|endoftext|>\n' > none.txt
rc 2 "$EDGELLM" eval ppl -m "$M" -f none.txt --protocol documents
for t in '{"a": 1}' '[1, 2]' '["a"' '["a"] x' '' '["\ud800"]'; do
    printf '%s' "$t" > bad.json
    rc 3 "$EDGELLM" eval ppl -m "$M" -f bad.json --protocol documents
    has err 'bad.json'
done
