# A folder is exchanged as a whole: what is not ours stays, what is the old model's goes.
el convert --split-max-tensors 20 "$M" folder
echo mine > folder/README.md
before=$(stat -c %i folder)
rc 4 "$EDGELLM" convert "$M" folder
has err 'overwriting was not asked for (--force replaces it)$'
el convert --force "$M" folder
[ "$(stat -c %i folder)" != "$before" ] || fail "not exchanged"
is "$(cat folder/README.md)" mine
no_files folder/model-00001* folder/model.safetensors.index.json
[ -f folder/model.safetensors ] || fail "no model.safetensors"
# Not under the feet of a shell, and not with folders in it: then file by file.
before=$(stat -c %i folder)
(cd folder && "$EDGELLM" convert -q --force --split-max-tensors 20 "$M" . && [ -f model.safetensors.index.json ] && [ ! -e model.safetensors ])
mkdir folder/sub
el convert --force "$M" folder
is "$(stat -c %i folder)" "$before"
no_files folder/model-00001*
[ -d folder/sub ] || fail "a folder is gone"
is "$(cat folder/README.md)" mine
el run -m folder -n 1 x
[ -z "$(find . -name '.*.tmp')" ] || fail "temporary files are left"
