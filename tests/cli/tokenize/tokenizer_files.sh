# Every kind of tokenizer file alone, through GGUF, and in the place of a folder's tokenizer.json.
D=$EL_TEST_DATA/tokenizers/models
for f in unigram.model bpe-bytes.model unigram-t5.json wordpiece.json vocab.txt cl100k_base.tiktoken opt/vocab.json; do
    el tokenize -m "$D/$f" --add-special "The river, 12 KINGs"
    cp out direct
    one_line direct
    el convert -q "$D/$f" "$(basename "$f").gguf"
    el tokenize -m "$(basename "$f").gguf" --add-special "The river, 12 KINGs"
    same direct out
done
el tokenize -m "$D/wordpiece.json" --add-special "The river"
el tokenize -m "$D/wordpiece.json" --decode "$(cat out)"
is "$(cat out)" "the river"
el tokenize -m "$D/wordpiece.json" --pieces "rivers, of"
has out "-> ' r'"
lacks out "##"
el tokenize -m "$D/unigram.model" "$(printf 'a\302\240 \357\274\241')"
cp out map
el tokenize -m "$D/unigram.model" "a A"
same map out

# A folder without tokenizer.json.
cp -r "$EL_TEST_DATA/fixtures/llama" folder
rm folder/tokenizer.json folder/tokenizer_config.json
el convert folder plain.gguf
has err "no tokenizer in the folder"
{ printf '[PAD]\n[UNK]\n[CLS]\n[SEP]\nriver\nrun\n##s\nthe\n,\n'; for i in $(seq 60); do echo "w$i"; done; } > folder/vocab.txt
el convert folder bert.gguf
el tokenize -m bert.gguf --add-special "The river runs, w7"
is "$(cat out)" "2 7 4 5 6 8 15 3"
el info --metadata tokenizer.ggml.model bert.gguf
has out bert
el convert bert.gguf back
el tokenize -m back --add-special "The river runs, w7"
is "$(cat out)" "2 7 4 5 6 8 15 3"
# tokenizer_config.json counts.
echo '{"do_lower_case": false}' > folder/tokenizer_config.json
el tokenize -m folder --add-special "The river"
is "$(cat out)" "2 1 4 3"
# A folder of a tokenizer alone stands for the file in it; one with weights is a model without its config.json.
mkdir alone
cp folder/vocab.txt folder/tokenizer_config.json alone
el tokenize -m alone --add-special "The river"
is "$(cat out)" "2 1 4 3"
el convert alone alone.gguf
el tokenize -m alone.gguf --add-special "The river"
is "$(cat out)" "2 1 4 3"
rc 2 "$EDGELLM" convert --force alone alone
el tokenize -m plain.gguf --tokenizer alone --add-special "The river"
is "$(cat out)" "2 1 4 3"
el tokenize -m "$EL_TEST_DATA/fixtures/llama" --tokenizer alone --add-special "The river"
is "$(cat out)" "2 1 4 3"
cp folder/model.safetensors alone
rc 3 "$EDGELLM" tokenize -m alone x
has err "'alone': is a folder without config.json"
mkdir nothing
rc 3 "$EDGELLM" tokenize -m plain.gguf --tokenizer nothing x
has err "'nothing': no tokenizer in the folder"
ln -s . nothing/tokenizer.json
rc 4 "$EDGELLM" tokenize -m plain.gguf --tokenizer nothing x
# A tokenizer of another size than the model's is refused.
rc 3 "$EDGELLM" tokenize -m folder --tokenizer "$D/unigram.model" x
has err "the tokenizer has 500 tokens, the model 288"
# What cannot be known is asked for.
printf 'YQ== 0\nYg== 1\n' > mine.tiktoken
rc 8 "$EDGELLM" tokenize -m mine.tiktoken ab
has err "give its tokenizer.json instead, or name the file after one of gpt2"
mv mine.tiktoken cl100k_base.tiktoken
el tokenize -m cl100k_base.tiktoken abba
is "$(cat out)" "0 1 1 0"
