# The bytes do not depend on threads, passes or on how often the run was killed; nothing is left over.
head -c 6000 "$T" > t.txt
el calibrate -c 64 --chunks 8 -t 1 -o 1.stats "$B" t.txt
has err '8 windows of at most 64 tokens, BOS first'
has err "data sha256 $(sha256sum < t.txt | cut -d' ' -f1)  t.txt"
el calibrate -c 64 --chunks 8 -t 3 -q -o 2.stats "$B" t.txt
empty err
same 1.stats 2.stats
el calibrate -c 64 --chunks 8 --max-mem 100K -o 3.stats "$B" t.txt
same 1.stats 3.stats
el calibrate -c 64 --chunks 8 --resume -o 4.stats "$B" t.txt
same 1.stats 4.stats
no_files 4.stats.part
for k in 1 2 3 4 5 6; do
    timeout -s KILL 0.0$k "$EDGELLM" calibrate -c 64 --chunks 8 --resume -o 5.stats "$B" t.txt 2> /dev/null || true
    [ ! -f 5.stats ] || break
done
[ -f 5.stats ] || el calibrate -c 64 --chunks 8 --resume -o 5.stats "$B" t.txt
same 1.stats 5.stats
no_files 5.stats.part
is "$(find . -name '.*.tmp')" ""
# The state of another run is refused.
printf 'something else' > 6.stats.part
rc 2 "$EDGELLM" calibrate -c 64 --resume -o 6.stats "$B" t.txt
has err "'6.stats.part': is not the state of a calibration"
no_files 6.stats
# Any family, also quantized ones, a little.
for f in mixtral opt-350m gemma3 qwen2moe; do
    el calibrate -c 16 --chunks 3 --process-output -o $f.stats "$EL_TEST_DATA/fixtures/$f" t.txt
    el info $f.stats
    has out 'blk.1.*in_sum2'
done
el calibrate -c 32 --chunks 2 -o q.stats "$Q" t.txt
