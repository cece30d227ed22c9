# The front of sizes and losses: rising sizes, falling losses, a picture that is well-formed XML, no model.
few=(--types Q2_K,Q3_K,Q4_K,Q8_0 --no-descent --chunks 2 --measure-chunks 1)
el quantize -q "${few[@]}" --tries 0 --pareto f.json "$M"
is "$(ls | grep -v -e '^out$' -e '^err$' | tr '\n' ' ')" "f.json f.svg "
awk '/"nbytes":/ { gsub(/,/, ""); if ($2 <= n) exit 1; n = $2; k++ } END { exit !(k > 4) }' f.json || fail "sizes do not rise"
awk '/"predicted":/ { gsub(/,/, ""); if (NR > 1 && k && $2 >= p) exit 1; p = $2; k = 1 }' f.json || fail "losses do not fall"
# Every element is closed by its own name, and attributes are quoted.
well_formed() {
    tr '\n' ' ' < "$1" | sed 's/</\n</g' | awk '
        /^<\?xml / || /^ *$/ { next }
        /^<\// { name = $0; sub(/^<\//, "", name); sub(/>.*/, "", name); if (!n || stack[n] != name) exit bad = 1; n--; next }
        /^<[a-z]+( [a-zA-Z0-9:-]+="[^"<]*")*\/?>[^<>&]*(&(amp|lt|gt|quot);[^<>&]*)*$/ {
            name = $0; sub(/^</, "", name); sub(/[ \/>].*/, "", name)
            if ($0 !~ /\/>[^<>]*$/) stack[++n] = name
            next }
        { print "not XML: " $0; exit bad = 1 }
        END { exit bad || n }'
}
well_formed f.svg || fail "f.svg is not well-formed"
sed 's/<\/svg>//' f.svg > bad.svg
if well_formed bad.svg; then fail "the check sees nothing"; fi
has f.svg 'size of the files (MB)'
has f.svg 'KL divergence'
[ "$(grep -c '<circle' f.svg)" -gt 4 ] || fail "no points"
lacks f.svg 'measured'
rc 4 "$EDGELLM" quantize "${few[@]}" --pareto f.json "$M"
has err "'f.json': output exists"
el quantize -q --force --types Q2_K,Q4_K --no-descent --chunks 2 --measure-chunks 1 --tries 1 --pareto f.json "$M"
has f.svg 'measured'
has f.json '"measured_kld": [0-9]'
rc 2 "$EDGELLM" quantize --pareto f.json --resume "$M"
has err "'--resume': --pareto writes no model"
rc 2 "$EDGELLM" quantize --pareto f.json "$M" o.gguf
rc 2 "$EDGELLM" quantize --pareto f.json --target-bpw 4 "$M"
