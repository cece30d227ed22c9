# A control token's text in a prompt is text, unless it is asked for.
el run -m "$M" --temp 0 -n 2 --json "Once<|endoftext|>upon"
plain=$(json n_prompt)
el run -m "$M" --temp 0 -n 2 --json --parse-special "Once<|endoftext|>upon"
[ "$(json n_prompt)" -lt "$plain" ] || fail "the prompt has $(json n_prompt) tokens, $plain without --parse-special"
