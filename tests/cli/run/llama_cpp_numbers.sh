# The numbers by which llama.cpp says "off", "all" and "random".
go() { "$EDGELLM" run -m "$M" -n 12 "$@" "The garden was" > text; }
go --seed 7
mv text a
go --seed 7
same text a
go --seed 8
differ text a
# -1 is another seed each time, printed so that the text can be had again.
"$EDGELLM" run -m "$M" -n 12 --seed -1 "The garden was" > b 2> err
seed=$(sed -n 's/^seed: \([0-9]*\)$/\1/p' err)
[ -n "$seed" ] || fail "the random seed is not printed"
go --seed "$seed"
same text b
for _ in 1 2 3; do "$EDGELLM" run -m "$M" -n 1 --seed -1 x 2>&1 > /dev/null | grep seed: >> seeds; done
[ "$(sort -u seeds | wc -l)" -eq 3 ] || fail "the random seeds are equal"
el run -m "$M" -q -n 2 --seed -1 --json x
[ "$(json seed)" -gt 0 ] || fail "no seed in JSON"
empty err
# top-k: 0 and -1 are off.
go --top-k 0 --top-p 1 --min-p 0 --temp 3
mv text off
go --top-k -1 --top-p 1 --min-p 0 --temp 3
same text off
go --top-k 40 --top-p 1 --min-p 0 --temp 3
differ text off
# A negative temperature is 0; --temperature and --predict are the other names.
go --temp 0
mv text greedy
go --temperature -1
same text greedy
"$EDGELLM" run -m "$M" --predict 12 --temp 0 "The garden was" > text
same text greedy
# -n -1 and -2: until the model ends or the context is full.
for n in -1 -2; do
    el run -m "$M" -n $n -c 16 --temp 0 --ignore-eos --json "The garden was"
    is "$(json stop_reason)" '"context"'
    mv out "n$n"
done
same <(grep text n-1) <(grep text n-2)
# -c 0: all that the model was trained for; without it at most 4096.
long() { el run -m "$M" --override-kv llama.context_length=int:6000 --temp 0 -r e --json "$@" "The garden was"; json n_ctx; }
is "$(long)" 4096
is "$(long -c 0)" 6000
# repeat-last-n: 0 none, -1 all.
many() { "$EDGELLM" run -m "$M" -n 40 --temp 0 --repeat-penalty 1.5 --repeat-last-n "$1" "The garden was" > "$2"; }
many 0 none
many -1 all
many 1000 thousand
many 8 eight
same all thousand
differ all none
differ all eight
# threads: -1 is all cores, as 0.
el run -m "$M" -n 1 -t -1 --json x
all=$(json n_threads)
el run -m "$M" -n 1 -t 0 --json x
is "$(json n_threads)" "$all"
