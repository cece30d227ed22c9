el run -m "$M" -n 40 --temp 0 "The garden" && cp out plain
for o in "--repeat-penalty 1.5" "--presence-penalty 3" "--frequency-penalty 3"; do
    # shellcheck disable=SC2086
    el run -m "$M" -n 40 --temp 0 $o "The garden"
    differ out plain
    # shellcheck disable=SC2086
    el run -m "$M" -n 40 --temp 0 $o --repeat-last-n 0 "The garden"
    same out plain
done
