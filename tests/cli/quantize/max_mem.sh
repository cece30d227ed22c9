# A budget cuts the number of threads and nothing else; what is too little is refused before anything is written, with what is needed.
limited() { bash -c 'ulimit -v "$1"; shift; exec "$@"' bash "$@"; }
el calibrate -q -c 256 --chunks 4 -o s.gguf "$M"
Q=(quantize -q --stats s.gguf --method adaround --rounds 3)
el "${Q[@]}" "$M" 1.gguf Q4_0
rc 2 "$EDGELLM" "${Q[@]}" --max-mem 1M "$M" 2.gguf Q4_0
has err "memory of 1000000 bytes: at least [0-9]* are needed, for tensor 'blk.*ffn_down.weight'"
no_files 2.gguf
need_of() { sed -n 's/.*at least \([0-9]*\) are.*/\1/p' err; }
need=$(need_of)
rc 2 "$EDGELLM" "${Q[@]}" --max-mem $((need - 1)) "$M" 2.gguf Q4_0
el "${Q[@]}" -t 64 --max-mem "$need" "$M" 2.gguf Q4_0
same 1.gguf 2.gguf
# Without a method that keeps sums of products it takes less.
rc 2 "$EDGELLM" quantize --max-mem 1M "$M" 3.gguf Q4_0
less=$(need_of)
[ "$less" -lt $((need - 768 * 768 * 8)) ] || fail "$less and $need"
# So much address space and what the program takes by itself, of which threads' stacks are most: 64 threads do not fit.
limited 100000 "$EDGELLM" --version > /dev/null 2>&1 || skip "cannot start with little memory (a sanitizer)"
for k in 20000 30000 40000 60000 80000; do
    limited $k "$EDGELLM" list commands > /dev/null 2>&1 && break
done
limited $((k + need / 1024)) "$EDGELLM" "${Q[@]}" -t 64 --max-mem "$need" "$M" 4.gguf Q4_0 2> err || fail "$need bytes are too few: $(cat err)"
same 1.gguf 4.gguf

# Folds: matrices that a rotation mixes are held as float32, sums of rotated inputs too, and what decides about scales reads them.
limit() { # what the program takes by itself, in KiB, and a budget in bytes
    echo $((k + $1 / 1024))
}
for m in quarot+gptq awq+gptq smoothquant; do
    el quantize -q --force --stats s.gguf --method $m "$M" f1.gguf Q4_0
    rc 2 "$EDGELLM" quantize -q --stats s.gguf --method $m --max-mem 1M "$M" f2.gguf Q4_0
    need=$(need_of)
    limited "$(limit "$need")" "$EDGELLM" quantize -q --force --stats s.gguf --method $m -t 64 --max-mem "$need" "$M" f2.gguf Q4_0 2> err ||
        fail "$m: $need bytes are too few: $(cat err)"
    same f1.gguf f2.gguf
done
# A model whose largest matrix is more than what the program is allowed beside the buffers: 1024 x 8192.
P=$EL_TEST_DATA/../../build/tools/make_model
[ -x "$P" ] || skip "build/tools/make_model is missing: make tools"
"$P" wide.gguf layers=1 embd=1024 heads=8 kv=4 ff=8192 vocab=256
rc 2 "$EDGELLM" quantize --method rtn --max-mem 1M wide.gguf f3.gguf Q4_0
less=$(need_of)
el quantize -q --force --method quarot -t 1 wide.gguf f1.gguf Q4_0
rc 2 "$EDGELLM" quantize --method quarot --max-mem 1M wide.gguf f3.gguf Q4_0
need=$(need_of)
[ "$need" -gt $((less + 8192 * 1024 * 4)) ] || fail "rotated $need, plain $less"
limited "$(limit "$need")" "$EDGELLM" quantize -q --method quarot -t 64 --max-mem "$need" wide.gguf f3.gguf Q4_0 2> err ||
    fail "quarot: $need bytes are too few: $(cat err)"
same f1.gguf f3.gguf
limited "$(limit "$less")" "$EDGELLM" quantize -q --force --method quarot -t 1 wide.gguf f4.gguf Q4_0 2> err &&
    fail "quarot gets by with $less bytes: this test tests nothing"
has err 'out of memory'
