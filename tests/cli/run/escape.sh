# With -e, escapes in texts of options are the characters; without it, and in files, they stay.
go() { el run -m "$M" -n 1 --temp 0 --echo "$@"; }
go -e "$(cat <<'E'
a\tb\r\\\x41\'\"\q\x00\x4
E
)"
printf '%b' 'a\tb\r\\A' "'" '"\\q\\x00\\x4' > want
head -c "$(wc -c < want)" out > got
same got want
go --escape -p 'one\ntwo'
is "$(head -n 1 out)" one
go 'one\ntwo'
is "$(head -c 8 out)" 'one\ntwo'
go -e --no-escape 'one\ntwo'
is "$(head -c 8 out)" 'one\ntwo'
printf '%s\n' 'one\ntwo' > f
go -e -f f
is "$(head -c 8 out)" 'one\ntwo'
# Stop texts, the system's text, breakers.
el run -m "$M" -n 40 --temp 0 --json --grammar 'root ::= "ab\ncd"' -e -r 'b\nc' x
is "$(json text) $(json stop_reason)" '"a" "stop"'
el run -m "$M" -n 1 --chat --chat-template "{{ messages[0].content }}" -e -sys 'S\nT' --echo x
is "$(head -n 1 out)" S
dry() { local f=$1; shift; "$EDGELLM" run -m "$M" -n 60 --temp 0 --dry-multiplier 2 "$@" "The end." > "$f"; }
dry byte --dry-sequence-breaker ' '
dry escaped -e --dry-sequence-breaker '\x20'
same byte escaped
dry literal --dry-sequence-breaker '\x20'
differ byte literal
