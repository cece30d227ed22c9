# A run that would take for ever; SIGINT is ignored in background jobs, so it is set back to its default first.
start() { bash -c 'trap - INT; exec "$@"' bash "$EDGELLM" bench -m "$Q" -p 512 -n 128 -r 100000 -o jsonl > out 2> err & pid=$!; }
for s in TERM:143 HUP:129; do
    start
    sleep 0.5
    kill -"${s%:*}" $pid
    code=0; wait $pid || code=$?
    is "$code" "${s#*:}"
done
timeout --foreground -s INT 0.5 "$EDGELLM" bench -m "$Q" -r 100000 -o json > out 2> err || true
code=0; timeout --preserve-status -s INT 0.5 "$EDGELLM" bench -m "$Q" -r 100000 -o json > out 2> err || code=$?
is "$code" 130
is "$(tr -d ' \n' < out)" "[]"
