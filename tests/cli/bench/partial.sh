rc 9 "$EDGELLM" bench -m nofile -m "$Q" -p 4 -n 0 -r 1 -o json
has out '"status": "ok"'
has err 'nofile'
rc 4 "$EDGELLM" bench -m nofile -p 4 -n 0 -r 1 -o json
is "$(grep -c '^  "status": "failed",$' out)" 1
# A model that cannot be opened: a row in JSON, its message once.
rc 4 "$EDGELLM" bench -m nofile --no-limit -o jsonl
is "$(grep -c '^{"model_filename": *"nofile", *"status": *"failed", *"error": *"' out)" 1
one_line err
rc 9 "$EDGELLM" bench -m nofile -m "$Q" -p 8 -n 0 -r 1 --no-limit -o json
has out '"status": "failed"'
has out '"status": "ok"'
