el run -m "$M" --temp 0 -n 4 --json -t 2 -s 7 "Once upon a time"
is "$(json text)" '", there was a"'
is "$(json n_threads)" 2
is "$(json seed)" 7
for k in ids prompt_ns predict_ns prompt_per_second predicted_per_second n_ctx; do has out "\"$k\": [0-9[]"; done
is "$(json stop_string)" null
empty err
el run -m "$M" --temp 0 -n 4 --timings "Once upon a time"
has err '^prompt: 5 tokens in '
has err '^text:   4 tokens in '
is "$(cat out)" ", there was a"
