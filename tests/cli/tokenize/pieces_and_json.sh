el tokenize -m "$M" --pieces "Hello world"
is "$(tail -n 1 out | tr -s ' ')" " 959 -> 'Ġworld'"
el tokenize -m "$M" --json "Hello world"
is "$(json n_tokens)" 4
is "$(json ids)" "[40, 424, 79, 959]"
lacks out pieces
el tokenize -m "$M" --json --pieces "Hello world"
is "$(json pieces)" '["H", "ell", "o", "Ġworld"]'
el tokenize -m "$M" --json --decode "40 424 79"
is "$(json text)" '"Hello"'
el tokenize -m "$M" --pieces --decode "40 424"
has out "424 -> 'ell'"
