# Every text under a grammar is one of it, whatever the seed.
for seed in 1 2 3 4 5; do
    el run -m "$M" -n 40 -s $seed --temp 2 --grammar 'root ::= ( "yes" | "no" ) "!"{2,3}' "Is it? "
    grep -qxE '(yes|no)!!!?' out || fail "seed $seed: '$(cat out)'"
    el run -m "$M" -n 200 -s $seed --temp 1.5 -j '{"type": "array", "items": {"enum": [1, "a", null]}, "maxItems": 3}' "x"
    tr -d ' \n\t' < out | grep -qxE '\[((1|"a"|null)(,(1|"a"|null)){0,2})?\]' || fail "seed $seed: '$(cat out)'"
done
# From a file, or standard input; with --json the end is the grammar's.
printf 'root ::= [0-9]{4} # a year\n' > year.gbnf
el run -m "$M" --temp 0 --json --grammar-file year.gbnf "In the year "
is "$(json stop_reason)" '"eog"'
json text | grep -qxE '"[0-9]{4}"' || fail "$(json text)"
rc 0 "$EDGELLM" run -m "$M" --temp 0 --grammar-file - "In the year " < year.gbnf
grep -qxE '[0-9]{4}' out || fail "$(cat out)"
printf '{"type": "object", "properties": {"n": {"type": "integer", "minimum": 10, "maximum": 12}}, "required": ["n"]}' > s.json
for opt in -jf --json-schema-file; do
    el run -m "$M" $opt s.json x
    tr -d ' \n\t' < out | grep -qxE '\{"n":1[0-2]\}' || fail "$(cat out)"
done
el run -m "$M" --json-schema "$(cat s.json)" x
tr -d ' \n\t' < out | grep -qxE '\{"n":1[0-2]\}' || fail "$(cat out)"
# A text that is cut off is the beginning of one.
el run -m "$M" -n 3 --temp 0 --json --grammar 'root ::= "abcdefghijklmnopqrstuvwxyz"{9}' x
is "$(json stop_reason)" '"length"'
json text | grep -qE '^"abc' || fail "$(json text)"
# The greedy token where it is allowed, the same as without a grammar.
el run -m "$M" -n 20 --temp 0 "Once upon a time"
cp out free
el run -m "$M" -n 20 --temp 0 --grammar 'root ::= .*' "Once upon a time"
cmp free out || fail "a grammar of all texts changes the text"
# Errors name the place, what was found and what is allowed.
rc 3 "$EDGELLM" run -m "$M" --grammar 'root ::= "a" | rest' x
one_line err
has err "grammar: line 1, column 16: rule 'rest' is not defined"
printf 'root ::= "a"\nroot ::= [z-a]\n' > bad.gbnf
rc 3 "$EDGELLM" run -m "$M" --grammar-file bad.gbnf x
has err "bad.gbnf: line 2, column 1: rule 'root' is defined for the second time"
rc 3 "$EDGELLM" run -m "$M" --grammar 'root ::= root "a" | "b"' x
has err "left recursion"
rc 8 "$EDGELLM" run -m "$M" -j '{"properties": {"a": {"not": {"type": "null"}}}}' x
has err "'#/properties/a': keyword 'not' cannot be made into a grammar"
rc 3 "$EDGELLM" run -m "$M" -j '{"type": "strin"}' x
has err "'#/type'"
rc 3 "$EDGELLM" run -m "$M" -j '{"type": ' x
rc 4 "$EDGELLM" run -m "$M" --grammar-file nofile x
rc 2 "$EDGELLM" run -m "$M" --grammar 'root ::= "a"' -jf s.json x
has err "--grammar' and '--json-schema-file'"
