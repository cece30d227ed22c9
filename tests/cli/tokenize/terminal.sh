tty_run "$EDGELLM" tokenize -m "$M" --decode "$("$EDGELLM" tokenize -m "$M" "$(printf 'a\033[31mb')")"
lacks out "$(printf '\033')"
has out '\\x1b'
rc 2 script -qec "$(printf '%q tokenize -m %q' "$EDGELLM" "$M")" /dev/null
