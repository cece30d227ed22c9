el bench -m "$Q" -p 4 -n 0 -r 3 --no-limit -o jsonl --sha256 --progress --cpu ref
has out "\"model_sha256\": \"$(sha256sum < "$Q" | cut -d' ' -f1)\""
has out '"cpu_level": "ref"'
has err 'test 1 of 1: pp4'
is "$(sed 's/.*"samples_ns": \[\([^]]*\)\].*/\1/' out | tr ',' '\n' | wc -l)" 3
start=$(date +%s%N)
el bench -m "$Q" -p 4,5 -n 0 --repetitions 1 --no-warmup --no-limit --delay 1
[ $(($(date +%s%N) - start)) -ge 1000000000 ] || fail "--delay has no effect"
