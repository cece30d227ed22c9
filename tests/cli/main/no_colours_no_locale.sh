locale -a 2> /dev/null | grep -qiE '^de_DE' && export LC_ALL=de_DE.UTF-8
el eval ppl -m "$Q" -f "$T" --chunks 1 --json
grep -qE '"ppl": [0-9]+\.[0-9]+' out || fail "decimal point"
export TERM=xterm CLICOLOR_FORCE=1
tty_run "$EDGELLM" info "$M"
lacks out "$(printf '\033')"
