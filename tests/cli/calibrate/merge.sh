# Adding files up, and llama.cpp's two formats.
D=$EL_TEST_DATA/imatrix
head -c 3000 "$T" > t.txt
el calibrate -c 64 --chunks 2 -o a.stats "$B" t.txt
el calibrate --merge -o twice.stats a.stats a.stats
el info --json twice.stats
has out 'edgellm.stats.tokens'
el calibrate --merge --json --output-format gguf -o small.gguf a.stats
is "$(json n_files)" 1
el info small.gguf
lacks out 'hessian'
lacks out 'edgellm'
el calibrate --merge --output-format dat -o small.dat a.stats
el info small.dat
has out 'small.dat: imatrix, 70 tensors'
el calibrate --merge --output-format dat -o theirs.dat "$D/books-4m.gguf"
cmp theirs.dat "$D/books-4m.dat" > /dev/null || [ "$(stat -c %s theirs.dat)" -eq "$(stat -c %s "$D/books-4m.dat")" ] || fail "another size"
el calibrate --merge -o sum.gguf "$D/books-4m.gguf" "$D/books-4m.dat" a.stats
rc 2 "$EDGELLM" calibrate --merge -o a.stats --force a.stats
has err 'output is the input'
rc 3 "$EDGELLM" calibrate --merge -o x.stats "$Q"
has err 'holds no statistics'
el calibrate -c 16 --chunks 1 -o f.stats "$EL_TEST_DATA/fixtures/llama" t.txt
rc 2 "$EDGELLM" calibrate --merge -o x.stats a.stats f.stats
has err 'are of different matrices'
no_files x.stats
# A model is not judged by the text it was calibrated on.
head -c 9000 "$T" > cal.txt
H=$(sha256sum < cal.txt | cut -d' ' -f1)
rc 2 "$EDGELLM" eval ppl -m "$Q" -f cal.txt -c 64 --override-kv "edgellm.calibration.sha256=str:$H"
has err "'cal.txt' is the text that .* was calibrated on"
el eval ppl -m "$Q" -f t.txt -c 64 --override-kv "edgellm.calibration.sha256=str:$H"
