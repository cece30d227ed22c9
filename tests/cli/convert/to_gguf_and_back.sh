el convert "$B" copy.gguf
el info --json copy.gguf
is "$(json format)" '"gguf"'
has out '"BF16": {'
el convert copy.gguf folder
cmp folder/tokenizer.json "$B/tokenizer.json" || fail "tokenizer.json is not kept whole"
[ -s folder/config.json ] || fail "no config.json"
for m in "$B" copy.gguf folder; do
    "$EDGELLM" run -m "$m" --temp 0 -n 16 "The garden was" > "text.$(basename "$m")"
done
same text.books-4m text.copy.gguf
same text.books-4m text.folder
el convert folder again.gguf
same copy.gguf again.gguf
