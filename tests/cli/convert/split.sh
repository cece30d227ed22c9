el convert --split-max-size 3M "$B" s.gguf
[ -f s-00001-of-00004.gguf ] || [ -f s-00001-of-00005.gguf ] || fail "no shards: $(ls)"
# The whole file counts, not only the tensors; the shards are named at the end.
small() { local f; for f in "$@"; do [ "$(stat -c %s "$f")" -le "$LIMIT" ] || fail "$f is larger than $LIMIT"; done; }
LIMIT=3000000 small s-*.gguf
has err "^[45] files: s-00001-of-0000[45].gguf s-00002-of-"
for n in 2360000 2400000 4500000; do
    el convert --force --split-max-size $n "$B" e.gguf
    LIMIT=$n small e-*.gguf
    rm e-*.gguf
done
first=$(ls s-00001-*)
el verify "$first"
"$EDGELLM" run -m "$first" --temp 0 -n 12 "The garden was" > a
"$EDGELLM" run -m "$M" --temp 0 -n 12 "The garden was" > b
same a b
el convert --split-max-tensors 10 "$B" t.gguf
[ -f t-00005-of-00005.gguf ] || fail "no five shards: $(ls)"
el convert --split-max-size 3M "$B" folder
[ -s folder/model.safetensors.index.json ] || fail "no index: $(ls folder)"
LIMIT=3000000 small folder/*.safetensors
has err "^[45] files: model-00001-of-0000[45].safetensors .* in folder$"
# Exactly the sizes of an earlier output fit.
n=$(stat -c %s folder/*.safetensors | sort -n | tail -n 1)
el convert --split-max-size "$n" "$B" again
LIMIT=$n small again/*.safetensors
# One file is not named again; in JSON all are.
el convert --split-max-size 100M "$B" one.gguf
lacks err "files:"
el convert --json --split-max-tensors 24 "$B" j.gguf
tr -d '\n ' < out > flat
has flat '"files":\["j-00001-of-00002.gguf","j-00002-of-00002.gguf"\]'
el convert --json "$B" k.gguf
tr -d '\n ' < out > flat
has flat '"files":\["k.gguf"\]'
el convert "$first" whole.gguf
el convert "$B" whole2.gguf
same whole.gguf whole2.gguf
