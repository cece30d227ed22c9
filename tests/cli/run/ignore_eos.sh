# With temperature 100 every token is about as likely: the end comes soon unless it is never chosen.
run() { el run -m "$M" -n 400 -c 512 -s 3 --temp 0 --json "$@" "The end."; }
run --ignore-eos
is "$(json n_predict)" 400
is "$(json stop_reason)" '"length"'
lacks out '[[, ]0[],]'
# Making BOS, which is also the end of a text here, the only choice.
el run -m "$M" -n 4 --temp 0 --json --override-kv tokenizer.ggml.eos_token_id=int:12 "Once upon a time"
json ids
