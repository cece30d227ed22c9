# A run that is stopped at any stage goes on from there, and ends with the same bytes; then nothing is left.
few=(--types Q2_K,Q4_K,Q8_0 --no-descent --chunks 2 --measure-chunks 1 --target-size 2.2M)
el quantize -q "${few[@]}" "$M" o.gguf
mv o.gguf want.gguf
n=0
while [ ! -e o.gguf ]; do
    n=$((n + 1))
    [ "$n" -le 30 ] || fail "it does not come to an end"
    timeout -s INT "$(awk -v n="$n" 'BEGIN { print 0.2 * 1.3 ^ n }')" "$EDGELLM" quantize -q "${few[@]}" --resume "$M" o.gguf > out 2> err ||
        true
    [ -e o.gguf ] || [ ! -s err ] || has err 'interrupted'
done
same o.gguf want.gguf
no_files o.gguf.work o.gguf.part
# What another run has left is not taken for one's own.
mkdir p.gguf.work
rc 2 "$EDGELLM" quantize -q "${few[@]}" "$M" p.gguf
has err "'p.gguf.work' is of a run with another model"
no_files p.gguf
