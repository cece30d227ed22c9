el run -m "$M" -s 1 -n 24 "The garden" && cp out a
el run -m "$M" --seed 1 -n 24 "The garden" && same out a
el run -m "$M" -s 2 -n 24 "The garden" && differ out a
el run -m "$M" -n 24 "The garden" && cp out d
el run -m "$M" -s 0 -n 24 "The garden" && same out d
el run -m "$M" -s 18446744073709551615 -n 4 "The garden"
for t in 1 2 3; do el run -m "$M" -s 1 -n 24 -t $t "The garden"; same out a; done
el run -m "$M" -s 1 -n 24 --temp 5 --top-k 0 --top-p 1 --min-p 0 "The garden" && differ out a
el run -m "$M" -n 24 --temp 0 "The garden" && cp out greedy
for o in "--top-k 1" "--top-p 0" "--min-p 1"; do
    # shellcheck disable=SC2086
    el run -m "$M" -n 24 --temp 2 $o "The garden"
    same out greedy
done
