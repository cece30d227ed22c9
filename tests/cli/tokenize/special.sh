el tokenize -m "$M" --add-special Hello
is "$(cat out)" "0 $("$EDGELLM" tokenize -m "$M" Hello)"
el tokenize -m "$M" --parse-special 'a<|endoftext|>b'
has out ' 0 '
el tokenize -m "$M" 'a<|endoftext|>b'
lacks out ' 0 '
el tokenize -m "$M" --decode "0 40 0"
is "$(cat out)" H
el tokenize -m "$M" --decode --parse-special "0 40 0"
is "$(cat out)" '<|endoftext|>H<|endoftext|>'
rc 2 "$EDGELLM" tokenize -m "$M" --decode --add-special 1
