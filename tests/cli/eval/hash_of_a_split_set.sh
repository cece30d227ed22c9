# Every part stands for the whole set, so its hash does too; a byte of a part that is not named changes it.
hash() { "$EDGELLM" eval ppl -m "$1" -f "$T" --chunks 1 --ctx 64 --json > out && json model_sha256; }
el convert --split-max-tensors 20 "$M" s.gguf
first=$(ls s-00001-of-*.gguf) last=$(ls s-*.gguf | tail -n 1)
[ "$first" != "$last" ] || fail "one part"
want=$(for f in s-*.gguf; do n=${f#s-}; echo "$(sha256sum < "$f" | cut -c1-64)  ${n%.gguf}"; done | sha256sum | cut -c1-64)
is "$(hash "$first")" "\"$want\""
is "$(hash "$last")" "\"$want\""
printf '\001' | dd of="$last" bs=1 seek=$(($(stat -c %s "$last") - 40)) conv=notrunc 2> /dev/null
other=$(hash "$first")
is "${#other}" 66
[ "$other" != "\"$want\"" ] || fail "the hash does not cover $last"
# A folder of shards likewise.
el convert --split-max-tensors 20 "$B" folder
before=$(hash folder)
shard=$(ls folder/model-*.safetensors | tail -n 1)
printf '\001' | dd of="$shard" bs=1 seek=$(($(stat -c %s "$shard") - 40)) conv=notrunc 2> /dev/null
other=$(hash folder)
is "${#other}" 66
[ "$other" != "$before" ] || fail "the hash does not cover $shard"
# What is no part of the model does not count.
"$EDGELLM" convert -q "$B" folder/other.gguf
: > folder/README.md
is "$(hash folder)" "$other"
# A name like a part's says nothing without the others.
cp "$M" lone-00001-of-00002.gguf
is "$(hash lone-00001-of-00002.gguf)" "\"$(sha256sum < "$M" | cut -c1-64)\""
