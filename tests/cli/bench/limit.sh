# The share of the limit: a column of the table, and fields whose numbers fit together.
el bench -m "$Q" -p 16 -n 4 -r 2 -t 1
has out '| *t/s | *of the limit |$'
is "$(grep -c '[0-9] % of [0-9.]* G\(B\|op\)/s |$' out)" 2
field() { sed -n "s/.*\"$2\": *\"\{0,1\}\([^,\"}]*\).*/\1/p" <<< "$1"; }
el bench -m "$Q" -p 0 -n 8 -r 3 -t 1 -o jsonl
row=$(cat out)
is "$(field "$row" limit | grep -cx 'read\|int8\|f32')" 1
for k in bytes_per_token ops_per_token limit_share read_bytes_per_s int8_ops_per_s f32_ops_per_s; do
    awk -v v="$(field "$row" $k)" 'BEGIN { exit !(v > 0) }' || fail "$k: $(field "$row" $k)"
done
# The share is what the bytes, or the operations, of a token take at the limit, by what it took.
median=$(sed 's/.*"samples_ns": *\[\([^]]*\)\].*/\1/' out | tr -d ' ' | tr ',' '\n' | sort -n | sed -n 2p)
near "$(field "$row" limit_share)" "$(awk -v ns="$median" -v b="$(field "$row" bytes_per_token)" -v r="$(field "$row" read_bytes_per_s)" \
    -v o="$(field "$row" ops_per_token)" -v i="$(field "$row" int8_ops_per_s)" -v l="$(field "$row" limit)" \
    'BEGIN { print (l == "read" ? b / r : o / i) * 8e9 / ns }')" 0.02
# Deeper in the context there is more to read.
el bench -m "$Q" -p 0 -n 8 -d 0,64 -r 1 -t 1 --no-limit -o jsonl
awk -v a="$(field "$(sed -n 1p out)" bytes_per_token)" -v b="$(field "$(sed -n 2p out)" bytes_per_token)" 'BEGIN { exit !(b > a) }' ||
    fail "a deeper context reads no more"
is "$(field "$(sed -n 1p out)" limit_share)" null
el bench -m "$Q" -p 4 -n 0 -r 1 --no-limit
lacks out 'limit'
# The machine by itself: no model.
el bench --machine -t 1,2
is "$(grep -c '^| read, [24] [MK]iB pages .* GB/s | .* GB/s |$' out)" 4
is "$(grep -c '^| int8 products .* Gop/s |' out)" 2
el bench --machine -t 1 --json --cpu ref
is "$(grep -c '"cpu_level": "ref"' out)" 5
is "$(sed -n 's/^  "limit": "\(.*\)",$/\1/p' out | tr '\n' ' ')" 'read read_4k int8 f16 f32 '
