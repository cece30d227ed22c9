el convert --split-max-tensors 12 "$B" in.gguf
el quantize --keep-split in-00001-of-00004.gguf out.gguf Q4_K_M
[ -f out-00004-of-00004.gguf ] || fail "no four shards: $(ls)"
for i in 1 2 3 4; do
    for n in in out; do "$EDGELLM" info --tensors --json $n-00001-of-00004.gguf | grep -E '"(name|file)":' | sed 's/"file": ".*-0000\(.\)-of.*/\1/' > $n.files; done
    same in.files out.files
done
el quantize in-00001-of-00004.gguf whole.gguf Q4_K_M
[ -s whole.gguf ] || fail "without --keep-split the output is one file"
"$EDGELLM" run -m out-00001-of-00004.gguf --temp 0 -n 8 "The garden" > a
"$EDGELLM" run -m whole.gguf --temp 0 -n 8 "The garden" > b
same a b
lacks err "is one file"
# Of one file nothing can be kept: that is said.
el quantize --keep-split "$M" one.gguf Q8_0
has err "warning: --keep-split: the input is one file, so the output is one file"
el quantize "$M" two.gguf Q8_0
lacks err "keep-split"
same one.gguf two.gguf
el quantize -q --force --keep-split "$M" one.gguf Q8_0
empty err
