el run -m "$M" --temp 0 -n 4 "Once upon a time" && cp out plain
el run -m "$M" --temp 0 -n 4 --echo "Once upon a time"
is "$(cat out)" "Once upon a time$(cat plain)"
el run -m "$M" --temp 0 -n 4 --display-prompt "Once upon a time"
is "$(cat out)" "Once upon a time$(cat plain)"
el run -m "$M" --temp 0 -n 4 --echo --no-display-prompt "Once upon a time" && same out plain
