# Every sampler option changes the text, and off is off. Sampled without the usual cuts, so that there is something to choose.
to() { local f=$1; shift; "$EDGELLM" run -m "$M" -n 24 --temp 1 --top-k 0 --top-p 1 --min-p 0 --seed 5 "$@" "The garden was" > "$f"; }
changes() { to text "$@"; differ text "${was:-base}"; }
keeps() { to text "$@"; same text "${was:-base}"; }
to base
changes --typical 0.2
keeps --typical-p 1
changes --top-nsigma 0.5
keeps --top-n-sigma -1
keeps --top-nsigma 0
changes --xtc-probability 1 --xtc-threshold 0.01
keeps --xtc-probability 1 --xtc-threshold 0.6
keeps --xtc-probability 0 --xtc-threshold 0.01
changes --dynatemp-range 0.9
to dyna --dynatemp-range 0.9
was=dyna changes --dynatemp-range 0.9 --dynatemp-exp 4
keeps --dynatemp-range 0 --dynatemp-exp 4
# Mirostat: another target, another rate and the other version are other texts.
for v in 1 2; do
    to miro$v --mirostat $v
    was=miro$v changes --mirostat $v --mirostat-ent 1
    was=miro$v changes --mirostat $v --mirostat-lr 0.9
done
differ miro1 miro2
keeps --mirostat 0 --mirostat-ent 1 --mirostat-lr 0.9
# The order: names, letters, and steps that are left out.
cut=(--top-k 3 --typical 0.5 --temp 2)
was=base
to first "${cut[@]}" --samplers "top_k;typ_p;temperature"
to text "${cut[@]}" --sampler-seq kyt
same text first
to text "${cut[@]}" --sampling-seq kyt
same text first
for names in "top-k;typical;temp" "topk,typ,temperature"; do
    to text "${cut[@]}" --samplers "$names"
    same text first
done
to text "${cut[@]}" --samplers "temperature;typ_p;top_k"
differ text first
to text --top-k 1 --samplers "temperature"
same text base
to text --top-k 1
differ text base
# DRY against a text that goes round in circles.
dry() { local f=$1; shift; "$EDGELLM" run -m "$M" -n 120 --temp 0 "$@" "The end." > "$f"; }
dry off
dry on --dry-multiplier 2
differ on off
dry text --dry-multiplier 0
same text off
dry text --dry-multiplier 2 --dry-penalty-last-n 0
same text off
dry text --dry-multiplier 2 --dry-penalty-last-n 64
same text on
dry all --dry-multiplier 2 --dry-penalty-last-n -1
dry text --dry-multiplier 2 --dry-penalty-last-n 1000
same text all
dry text --dry-multiplier 2 --dry-penalty-last-n 6
differ text on
dry low --dry-multiplier 0.1 --dry-base 1
dry text --dry-multiplier 0.1 --dry-base 4
differ text low
dry text --dry-multiplier 2 --dry-allowed-length 12
differ text on
dry words --dry-multiplier 2 --dry-sequence-breaker ' '
differ words on
dry none --dry-multiplier 2 --dry-sequence-breaker ' ' --dry-sequence-breaker none
differ none words
dry text --dry-multiplier 2 --dry-sequence-breaker x --dry-sequence-breaker none --dry-sequence-breaker ' '
same text words
# A bias makes a token certain, another one impossible.
el run -m "$M" -n 3 --temp 0 --json "The garden was"
first=$(json ids | sed 's/\[\([0-9]*\).*/\1/')
el run -m "$M" -n 3 --temp 0 --json -l "$first=false" "The garden was"
json ids | grep -qv "^\[$first," || fail "a token is chosen though its bias is false"
cp out false
el run -m "$M" -n 3 --temp 0 --json --logit-bias "$first-1000" "The garden was"
is "$(json ids)" "$(json ids false)"
el run -m "$M" -n 3 --temp 0 --json --logit-bias "$first-inf" "The garden was"
is "$(json ids)" "$(json ids false)"
el run -m "$M" -n 3 --temp 0 --json -l 300+1000 -l "$first=false" "The garden was"
is "$(json ids)" "[300, 300, 300]"
# What is refused, and how.
bad() { rc 2 "$EDGELLM" run -m "$M" "$@" x; one_line err; }
bad --samplers "top_k;top_q"; has err "option '--samplers': sampler 'top_q' is not known; there are penalties, dry"
bad --sampler-seq kz; has err "'kz' has other letters"
bad --samplers top_k --sampler-seq k; has err "exclude each other"
bad -l 5; has err "'5' is not the number of a token"
bad -l 5+x; has err "option '--logit-bias'"
bad -l 999999+1; has err "token 999999"
bad --mirostat 3; has err "from 0 to 2"
bad --dry-base 0.5; has err "from 1 to"
bad --dry-multiplier 1 --dry-sequence-breaker ""; has err "breaker"
