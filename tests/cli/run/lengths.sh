el run -m "$M" --temp 0 -n 0 "Once upon a time"
empty out
el run -m "$M" --temp 0 -n 3 --json "Once upon a time"
is "$(json stop_reason)" '"length"'
is "$(json n_predict)" 3
is "$(json n_prompt)" 5
el run -m "$M" --temp 0 -n -1 -c 12 --ignore-eos --json "Once upon a time"
is "$(json stop_reason)" '"context"'
is "$(json n_predict)" 8
el run -m "$M" --temp 0 --n-predict 50 --ctx-size 12 --ignore-eos --json "Once upon a time"
is "$(json n_predict)" 8
rc 2 "$EDGELLM" run -m "$M" -c 4 "Once upon a time"
has err 'the prompt has 5 tokens, the context 4'
