rc 2 "$EDGELLM"
empty out
one_line err
has err "no command given"
