rc 2 "$EDGELLM" quantise a b Q4_0
one_line err
has err "unknown command 'quantise', did you mean 'quantize'?"
rc 2 "$EDGELLM" frobnicate
has err "unknown command 'frobnicate' (see 'edgellm --help')"
rc 2 "$EDGELLM" eval
has err "there are eval ppl, eval kld, eval logits"
rc 2 "$EDGELLM" eval ppll -m x
has err "'eval ppll' is no command"
rc 2 "$EDGELLM" help nothing
rc 2 "$EDGELLM" --frob
empty out
rc 2 "$EDGELLM" "$(printf 'a\033[31mb')"
lacks err "$(printf '\033')"
