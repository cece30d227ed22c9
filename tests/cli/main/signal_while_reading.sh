# Standard input that never comes: a signal ends the wait.
mkfifo pipe
sleep 60 > pipe &
holder=$!
"$EDGELLM" tokenize -m "$M" - < pipe > out 2> err &
pid=$!
sleep 0.5
kill -TERM $pid
code=0; wait $pid || code=$?
kill $holder
is "$code" 143
empty out
