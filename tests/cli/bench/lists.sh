rows() { "$EDGELLM" bench -m "$Q" -r 1 --no-warmup --no-limit -o csv "$@" > out || fail "bench $*"; tail -n +2 out | wc -l; }
is "$(rows -p 4,8 -n 2)" 3
is "$(rows -p 4-6 -n 0)" 3
is "$(rows -p 2-8+3 -n 0)" 3
is "$(rows -p '2-8*2' -n 0)" 3
is "$(rows -p 4 -p 8 -n 0)" 2
is "$(rows --n-prompt 0 --n-gen 2)" 1
is "$(rows -p 0 -n 0 -pg 8,2)" 1
has out '"8","2","0"'
is "$(rows -p 4 -n 0 -t 1,2)" 2
is "$(rows -p 4 -n 0 --threads 1 --batch-size 2,4)" 2
is "$(rows -p 4 -n 0 -ctk f16,f32 -ctv f32)" 2
is "$(rows -p 4 -n 2 -d 0,16)" 4
"$EDGELLM" bench -m "$Q" -m "$M" -r 1 --no-warmup --no-limit -p 4 -n 0 -o csv > out
is "$(tail -n +2 out | wc -l)" 2
"$EDGELLM" bench -m "$Q" -r 1 --no-limit -p 8 -n 0 --n-depth 16 > out
has out 'pp8 @ d16'
for p in x 1,x 1- 3-1 1-8+0 '0-8*2' -1 '' 99999999999; do rc 2 "$EDGELLM" bench -m "$Q" -p "$p"; has err "option '--n-prompt'"; done
rc 2 "$EDGELLM" bench -m "$Q" -pg 1
rc 2 "$EDGELLM" bench -m "$Q" -pg 1,2,3
rc 2 "$EDGELLM" bench -m "$Q" -p 0 -n 0
rc 2 "$EDGELLM" bench -m "$Q" -ctk f64
rc 2 "$EDGELLM" bench -m "$Q" -b 0
rc 2 "$EDGELLM" bench
