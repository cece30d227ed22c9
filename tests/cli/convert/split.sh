el convert --split-max-size 3M "$B" s.gguf
[ -f s-00001-of-00004.gguf ] || [ -f s-00001-of-00005.gguf ] || fail "no shards: $(ls)"
for f in s-*.gguf; do [ "$(stat -c %s "$f")" -lt 3500000 ] || fail "$f is too large"; done
first=$(ls s-00001-*)
el verify "$first"
"$EDGELLM" run -m "$first" --temp 0 -n 12 "The garden was" > a
"$EDGELLM" run -m "$M" --temp 0 -n 12 "The garden was" > b
same a b
el convert --split-max-tensors 10 "$B" t.gguf
[ -f t-00005-of-00005.gguf ] || fail "no five shards: $(ls)"
el convert --split-max-size 3M "$B" folder
[ -s folder/model.safetensors.index.json ] || fail "no index: $(ls folder)"
el convert "$first" whole.gguf
el convert "$B" whole2.gguf
same whole.gguf whole2.gguf
