rc 9 "$EDGELLM" bench -m nofile -m "$Q" -p 4 -n 0 -r 1 -o json
has out '"status": "ok"'
has err 'nofile'
rc 4 "$EDGELLM" bench -m nofile -p 4 -n 0 -r 1 -o json
is "$(tr -d ' \n' < out)" "[]"
