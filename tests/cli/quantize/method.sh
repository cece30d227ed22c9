error() { el quantize --json --force "$@" "$M" o.gguf Q4_K_S; awk '/"sum_err2"/ { gsub(/,/, ""); s += $2 } END { print s }' out; }
a=$(error --method search) b=$(error --method rtn)
awk -v a="$a" -v b="$b" 'BEGIN { exit !(a < b) }' || fail "search ($a) is not better than rtn ($b)"
is "$(error)" "$a"
