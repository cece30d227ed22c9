# Many prompts side by side: the same texts as one by one, in order or as they finish; lines that fail say so.
for i in $(seq 1 12); do
    echo "{\"id\": \"p$i\", \"prompt\": \"The garden number $i was\", \"n_predict\": $((40 - 3 * i)), \"seed\": $i}"
done > in.jsonl
el run -m "$Q" --jsonl in.jsonl -np 1
mv out one
is "$(wc -l < one)" 12
for np in 0 2 5 12 100; do
    el run -m "$Q" --jsonl in.jsonl -np $np -t 2
    same out one
done
el run -m "$Q" --jsonl - --parallel 3 -b 4 -ctk f32 -ctv f32 < in.jsonl
has out '"id": "p12"'
# The same as without --jsonl.
while read -r line; do
    n=$(sed 's/.*"n_predict": \([0-9]*\),.*/\1/' <<< "$line")
    id=$(sed 's/.*"id": "p\([0-9]*\)".*/\1/' <<< "$line")
    el run -m "$Q" --json -n "$n" --seed "$id" "The garden number $id was"
    grep -qF "\"ids\": $(json ids)," <(sed -n "${id}p" one) || fail "line $id is another text alone"
done < in.jsonl
# As they finish: the short ones first.
el run -m "$Q" --jsonl in.jsonl -np 12 --as-finished
sort -V out > sorted
sort -V one > one.sorted
same sorted one.sorted
is "$(head -n 1 out | grep -o '"id": "p[0-9]*"')" '"id": "p12"'
# Everything that a line may say: the same as the option.
check() { # MEMBERS OPTIONS...
    local members=$1
    shift
    echo "{\"prompt\": \"The garden was\", $members}" > line.jsonl
    rc 0 "$EDGELLM" run -m "$M" -n 8 --jsonl line.jsonl 
    cp out line.out
    el run -m "$M" -n 8 --json "$@" "The garden was"
    grep -qF "\"ids\": $(json ids)," line.out || fail "$members is not $*"
}
check '"temp": 0' --temp 0
check '"temperature": 2.5, "top_k": 0, "top_p": 1, "min_p": 0.01, "seed": 9' --temp 2.5 --top-k 0 --top-p 1 --min-p 0.01 --seed 9
check '"temp": 0, "stop": ["a", "e"]' --temp 0 -r a -r e
check '"temp": 0, "stop": "a"' --temp 0 -r a
check '"n_predict": 3' -n 3
check '"max_tokens": 3, "temperature": 0, "n_probs": 1, "stop": null, "top_k": null' -n 3 --temp 0
check '"mirostat": 2, "mirostat_tau": 1, "mirostat_eta": 0.5, "seed": 4' --mirostat 2 --mirostat-ent 1 --mirostat-lr 0.5 --seed 4
check '"dynatemp_range": 0.5, "dynatemp_exponent": 3, "seed": 4' --dynatemp-range 0.5 --dynatemp-exp 3 --seed 4
check '"logit_bias": {"300": 1000, "5": false}' -l 300+1000 -l 5=false
check '"samplers": ["top_k", "temperature"], "top_k": 2, "seed": 4' --samplers "top_k;temperature" --top-k 2 --seed 4
check '"sampler_seq": "kt", "top_k": 2, "seed": 4' --sampler-seq kt --top-k 2 --seed 4
dry=(--temp 0 --dry-multiplier 5 --dry-allowed-length 0 --repeat-last-n 0)
dry_json='"temp": 0, "dry_multiplier": 5, "dry_allowed_length": 0'
check "$dry_json, \"dry_sequence_breakers\": [\" the\"]" "${dry[@]}" --dry-sequence-breaker " the"
check "$dry_json, \"dry_sequence_breakers\": []" "${dry[@]}" --dry-sequence-breaker none
check '"repeat_penalty": 1.5, "repeat_last_n": -1, "temp": 0' --repeat-penalty 1.5 --repeat-last-n -1 --temp 0
check '"logit_bias": [[300, 1000], [5, false]]' -l 300+1000 -l 5=false
check '"samplers": "top_k", "top_k": 1' --samplers top_k --top-k 1
check '"ignore_eos": true, "parse_special": false' --ignore-eos
check '"grammar": "root ::= [a-f]+", "temp": 0' --grammar 'root ::= [a-f]+' --temp 0
check '"json_schema": {"type": "integer"}, "temp": 0' -j '{"type": "integer"}' --temp 0
check '"json_schema": "{\"type\": \"boolean\"}", "temp": 0' -j '{"type": "boolean"}' --temp 0
# The options of the command are for lines that do not say.
echo '"The garden was"' | el run -m "$M" -n 8 --temp 0 --grammar 'root ::= [a-f]+' --jsonl -
echo '{"prompt": "The garden was", "grammar": "root ::= [x]+"}' | el run -m "$M" -n 8 --temp 0 --grammar 'root ::= [a-f]+' --jsonl -
has out '"text": "x*x"'
echo '{"prompt": "The garden was", "echo": true, "id": {"a": [1, null]}}' | el run -m "$M" -n 1 --jsonl -
has out '"id": {"a":\[1,null\]}, "text": "The garden was'
# A line's samplers instead of those of the command, in either spelling.
for o in "--samplers temperature" "--sampler-seq t"; do
    # shellcheck disable=SC2086
    el run -m "$M" -n 4 $o --jsonl - <<< '{"prompt": "The garden was", "samplers": "top_k", "top_k": 1}'
    cp out names
    # shellcheck disable=SC2086
    el run -m "$M" -n 4 $o --jsonl - <<< '{"prompt": "The garden was", "sampler_seq": "k", "top_k": 1}'
    same out names
done
# Bad lines among good ones.
cat > bad.jsonl <<'L'
"The garden was"
{"prompt": 5}

{"promt": "x"}
{"prompt": "x", "temp": "hot"}
{"prompt": "x", "temp": 1e9}
{"prompt": "x", "top_k": 1.5}
[1, 2]
{"prompt": "x", "messages": []}
{"id": 7}
{"prompt": "x", "grammar": "root ::= ["}
{"prompt": "x", "grammar": "root ::= [a]", "json_schema": {}}
{"prompt": "x", "stop": [1]}
{"prompt": "x", "logit_bias": [[1]]}
{"prompt": "x", "logit_bias": 5}
{"prompt": "x", "ignore_eos": 1}
{"prompt": "x", "seed": -2}
{"id": [1], "prompt": "x", "n_predict": 1
"The end"
L
rc 9 "$EDGELLM" run -m "$M" -n 3 --jsonl bad.jsonl -np 2
one_line err
has err "16 of 18 prompts failed"
is "$(wc -l < out)" 18
is "$(grep -c '"error": {"code": [23], "message": "' out)" 16
for p in "line 2: 'prompt' is not a text" "line 4: 'promt' is not known, did you mean 'prompt'?" "line 6: option 'temp': '10" "line 11: --grammar: line 1" "'temp': 'hot' is not a number" "'1000000000' is not" \
    "'top_k'" "line 8: neither a text nor an object" "one of 'prompt' and 'messages'" "'grammar' and 'json_schema'" "'stop' is neither" \
    "'logit_bias' is neither an array" "'ignore_eos'" "'seed'" '"line": 10, "id": 7, "error"' "line 18: not valid JSON"; do
    grep -qF -e "$p" out || { cat out >&2; fail "no line says: $p"; }
done
is "$(grep -c '"text"' out)" 2
: > none.jsonl
el run -m "$M" --jsonl none.jsonl
empty out
rc 9 "$EDGELLM" run -m "$M" --jsonl - <<< '5'
rc 4 "$EDGELLM" run -m "$M" --jsonl missing.jsonl
rc 2 "$EDGELLM" run -m "$M" --jsonl in.jsonl x
has err "exclude each other"
rc 2 "$EDGELLM" run -m "$M" --jsonl in.jsonl --json
rc 2 "$EDGELLM" run -m "$M" -np 2 x
has err "needs --jsonl"
rc 2 "$EDGELLM" run -m "$M" --as-finished x
# A context that is too short for one of them.
rc 9 "$EDGELLM" run -m "$M" -c 4 -n 2 --jsonl - <<< $'"A much longer prompt than there is room for"\n"a"'
has out 'tokens, the context 4'
"$EDGELLM" run -m "$M" -n 3 --jsonl - --timings <<< '"a"' 2>&1 > /dev/null | grep -q "^1 prompts, 1 at a time:" || fail "no timings"
