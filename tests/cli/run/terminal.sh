# Text is escaped on a terminal, raw elsewhere.
p=$(printf 'a\033[31m\342\200\256b')
el run -m "$M" --temp 0 -n 1 --echo "$p"
has out "$(printf '\033')"
tty_run "$EDGELLM" run -m "$M" --temp 0 -n 1 --echo "$p"
lacks out "$(printf '\033')"
has out '\\x1b'
has out '\\u{202e}'
