# A run that would take for ever. Signals that are ignored where the tests are started (nohup, background jobs) are set back first.
start() { env --default-signal=INT,HUP,TERM "$EDGELLM" bench -m "$Q" -p 512 -n 128 -r 100000 -o jsonl > out 2> err & pid=$!; }
for s in TERM:143 HUP:129; do
    start
    sleep 0.5
    kill -"${s%:*}" $pid
    code=0; wait $pid || code=$?
    is "$code" "${s#*:}"
done
for s in "--foreground" "--preserve-status"; do
    code=0; timeout $s -s INT 0.5 env --default-signal=INT "$EDGELLM" bench -m "$Q" -r 100000 -o json > out 2> err || code=$?
done
is "$code" 130
is "$(tr -d ' \n' < out)" "[]"
