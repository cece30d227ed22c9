el run -m "$M" --temp 0 -n 20 -r Lily "Once upon a time"
is "$(cat out; echo .)" ", there was a little girl named ."
el run -m "$M" --temp 0 -n 20 --stop "girl named" --stop zzz "Once upon a time"
is "$(cat out; echo .)" ", there was a little ."
el run -m "$M" --temp 0 -n 20 --reverse-prompt "Lily. She was so excited that he" "Once upon a time"
is "$(cat out)" ", there was a little girl named Lily. She was so excited that she was so happy and happy"
el run -m "$M" --temp 0 -n 20 --json -r Lily "Once upon a time"
is "$(json stop_reason)" '"stop"'
is "$(json stop_string)" '"Lily"'
