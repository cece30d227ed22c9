# With temperature 100 every token is about as likely: the end comes soon unless it is never chosen.
run() { el run -m "$M" -n 400 -c 512 -s 3 --temp 0 --json "$@" "The end."; }
run --ignore-eos
is "$(json n_predict)" 400
is "$(json stop_reason)" '"length"'
lacks out '[[, ]0[],]'
# Making BOS, which is also the end of a text here, the only choice.
el run -m "$M" -n 4 --temp 0 --json --override-kv tokenizer.ggml.eos_token_id=int:12 "Once upon a time"
json ids
# The token that would come first ends the text, unless it is never chosen.
el run -m "$M" -n 1 --temp 0 --json "Once upon a time"
first=$(json ids | tr -d '[]')
el run -m "$M" -n 4 --temp 0 --json --override-kv "tokenizer.ggml.eos_token_id=int:$first" "Once upon a time"
is "$(json n_predict) $(json stop_reason)" '0 "eog"'
el run -m "$M" -n 4 --temp 0 --json --ignore-eos --override-kv "tokenizer.ggml.eos_token_id=int:$first" "Once upon a time"
is "$(json n_predict) $(json stop_reason)" '4 "length"'
