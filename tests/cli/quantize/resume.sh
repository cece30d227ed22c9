# A run that was killed goes on to the same bytes; nothing is left over; the state of another run is refused, by what is another.
head -c 20000 "$T" > t.txt
el calibrate -q -c 64 --chunks 8 -o s.gguf "$M" t.txt
el calibrate -q -c 64 --chunks 4 -o s2.gguf "$M" t.txt
X=$EL_TEST_DATA/fixtures/mixtral
el calibrate -q -c 16 --chunks 8 -o x.gguf "$X" t.txt
killed() { # DELAYS -- ARGUMENTS..., the output before TYPE: until it ends or the delays do, then once more
    local delays=() k
    while [ "$1" != -- ]; do delays+=("$1"); shift; done
    shift
    for k in "${delays[@]}"; do
        { timeout -s KILL "$k" "$EDGELLM" quantize -q --resume "$@"; } 2> /dev/null && return 0
    done
    el quantize -q --resume "$@"
}
el quantize -q --stats s.gguf --method gptq "$M" 1.gguf Q4_K_M
killed 0.1 0.17 0.23 0.3 0.2 0.14 -- --stats s.gguf --method gptq -t 2 --report r.jsonl "$M" 2.gguf Q4_K_M
same 1.gguf 2.gguf
no_files 2.gguf.part
is "$(wc -l < r.jsonl)" 47
el quantize -q --stats x.gguf --method adaround --rounds 40 "$X" 3.gguf Q4_0
killed 0.03 0.05 0.04 0.06 -- --stats x.gguf --method adaround --rounds 40 -t 1 "$X" 4.gguf Q4_0
same 3.gguf 4.gguf
el quantize -q "$M" 5.gguf Q6_K
killed 0.05 0.08 -- "$M" 6.gguf Q6_K
same 5.gguf 6.gguf
is "$(find . -name '.*.tmp')" ""
# Killed as soon as something is done.
state() {
    rm -f 7.gguf.part
    "$EDGELLM" quantize -q --resume "$@" 2> /dev/null & pid=$!
    while kill -0 $pid 2> /dev/null && [ "$(stat -c %s 7.gguf.part 2> /dev/null || echo 0)" -le 4096 ]; do sleep 0.005; done
    kill -KILL $pid 2> /dev/null || true
    wait $pid 2> /dev/null || true
    [ -s 7.gguf.part ] || fail "no state"
}
cp "$M" in.gguf
state --stats s.gguf --method adaround in.gguf 7.gguf Q4_K_M
no_files 7.gguf
cp 7.gguf.part kept
refused() { cp kept 7.gguf.part; rc 2 "$EDGELLM" quantize --resume "${@:2}"; has err "'7.gguf.part': is the state of another quantization: .*$1"; same kept 7.gguf.part; no_files 7.gguf; }
refused 'of other statistics' --stats s2.gguf --method adaround in.gguf 7.gguf Q4_K_M
refused 'with other options' --stats s.gguf --method adaround --damping 0.1 in.gguf 7.gguf Q4_K_M
refused 'with other options' --stats s.gguf --method adaround in.gguf 7.gguf Q4_K_S
refused 'with other options' --stats s.gguf --method imatrix in.gguf 7.gguf Q4_K_M
refused 'of another model' --stats s.gguf --method adaround "$X" 7.gguf Q4_0 --skip .
touch -d '2001-01-01' in.gguf
refused 'of another model, or its files have changed' --stats s.gguf --method adaround in.gguf 7.gguf Q4_K_M
printf 'something else, of which nobody knows what it is' > 7.gguf.part
rc 2 "$EDGELLM" quantize --resume in.gguf 7.gguf Q8_0
has err "'7.gguf.part': is not the state of a quantization"
# Without the option nobody looks at it.
el quantize -q in.gguf 7.gguf Q8_0
[ -f 7.gguf.part ] || fail "7.gguf.part is gone"
rm 7.gguf.part
rc 4 "$EDGELLM" quantize --resume in.gguf 7.gguf Q8_0
has err 'output exists already'
