el tokenize -m "$M" --pieces "Hello world"
is "$(tail -n 1 out | tr -s ' ')" " 959 -> ' world'"
el tokenize -m "$M" --json "Hello world"
is "$(json n_tokens)" 4
is "$(json ids)" "[40, 424, 79, 959]"
lacks out pieces
# As bytes where a token is part of a character, escaped where not printable.
el tokenize -m "$M" --pieces "$(printf 'é\n')"
is "$(tr -s ' ' < out)" "$(printf "%s\n" " 128 -> '\xc3'" " 103 -> '\xa9'")"
printf 'a\n' | el tokenize -m "$M" --pieces
is "$(tail -n 1 out | tr -s ' ')" " 199 -> '\\n'"
# JSON: the piece as it is stored, its text, and its bytes where they are no text.
el tokenize -m "$M" --json --pieces "Hello worldé"
tr -d '\n' < out | tr -s ' ' > flat
has flat '{ "id": 959, "piece": "Ġworld", "text": " world" }'
has flat '{ "id": 128, "piece": "Ã", "text": ".*", "bytes": \[195\] }'
# A control token shows its name.
el tokenize -m "$M" --pieces --parse-special "<|endoftext|>"
is "$(tr -s ' ' < out)" " 0 -> '<|endoftext|>'"
el tokenize -m "$M" --pieces --parse-special --json "<|endoftext|>"
has out '"control": true'
el tokenize -m "$M" --json --decode "40 424 79"
is "$(json text)" '"Hello"'
el tokenize -m "$M" --pieces --decode "40 424"
has out "424 -> 'ell'"
