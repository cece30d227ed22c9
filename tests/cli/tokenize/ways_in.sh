el tokenize -m "$M" "Once upon a time"
is "$(cat out)" "2395 692 259 566"
printf 'Once upon a time' > text
el tokenize -m "$M" -f text
is "$(cat out)" "2395 692 259 566"
el tokenize -m "$M" --file=text
is "$(cat out)" "2395 692 259 566"
"$EDGELLM" tokenize -m "$M" < text > out
is "$(cat out)" "2395 692 259 566"
"$EDGELLM" tokenize -m "$M" - < text > out
is "$(cat out)" "2395 692 259 566"
"$EDGELLM" tokenize --model "$M" -f - < text > out
is "$(cat out)" "2395 692 259 566"
el tokenize -m "$B" "Once upon a time"
is "$(cat out)" "2395 692 259 566"
el tokenize -m "$B/tokenizer.json" "Once upon a time"
is "$(cat out)" "2395 692 259 566"
el tokenize -m "$M" ""
is "$(cat out)" ""
one_line out
printf 'a\nb\n' > text
el tokenize -m "$M" -f text
one_line out
is "$("$EDGELLM" tokenize -m "$M" --decode "$(cat out)" | od -c)" "$(od -c text)"
rc 2 "$EDGELLM" tokenize -m "$M" text -f text
rc 2 "$EDGELLM" tokenize text
has err "'--model' is missing"
rc 4 "$EDGELLM" tokenize -m "$M" -f nofile
has err nofile
rc 4 "$EDGELLM" tokenize -m "$M" -f .
