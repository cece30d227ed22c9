# --tokenizer counts in every format; a source's own file is never the output.
B=$EL_TEST_DATA/books-4m
el convert "$B" o.gguf
rc 4 "$EDGELLM" convert --tokenizer nofile.json o.gguf p.gguf
has err nofile.json
no_files p.gguf
rc 4 "$EDGELLM" run -m o.gguf --tokenizer nofile.json --temp 0 -n 1 "A"
cp "$B/tokenizer.json" other.json
echo >> other.json
el convert --tokenizer other.json o.gguf folder
same folder/tokenizer.json other.json
el convert --tokenizer other.json --force "$B" folder
same folder/tokenizer.json other.json
cp -r folder before
rc 2 "$EDGELLM" convert --force folder folder/model.safetensors
one_line err
rc 2 "$EDGELLM" convert --force --to safetensors folder folder/model.safetensors
one_line err
same folder/model.safetensors before/model.safetensors
