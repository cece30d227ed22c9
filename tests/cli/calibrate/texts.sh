# Plain text, documents, conversations, standard input, and the program's own text.
el calibrate --json --no-hessian -c 128 --chunks 2 -o own.stats "$B"
is "$(json n_tokens)" 256
has out '"name": "edgellm calibration text 1"'
has out '"layer": 4'
printf 'A short text.' > short.txt
el calibrate --json -o short.stats "$B" short.txt
is "$(json n_windows)" 1
cat > docs.jsonl << 'END'
"The first document."
{"text": "The second, which is a little longer than the first one."}

{"messages": [{"role": "user", "content": "Hello there"}, {"role": "assistant", "content": "Good morning"}]}
END
rc 8 "$EDGELLM" calibrate -o x.stats "$B" docs.jsonl
has err "'docs.jsonl', line 4: .*chat template"
el calibrate --json --override-kv 'tokenizer.chat_template=str:{% for m in messages %}{{ m.role }}: {{ m.content }}. {% endfor %}' -o d.stats "$B" docs.jsonl
is "$(json n_windows)" 3
el calibrate --json -c 4 --tokenizer "$B/tokenizer.json" -o d4.stats "$B" docs.jsonl --chunks 3
is "$(json n_tokens)" 12
printf '"good"\n{"prompt": "x"}\n' > bad.jsonl
rc 3 "$EDGELLM" calibrate -o x.stats "$B" bad.jsonl
has err "'bad.jsonl', line 2: neither a string nor an object"
printf '"good"\n{broken\n' > bad.jsonl
rc 3 "$EDGELLM" calibrate -o x.stats "$B" bad.jsonl
has err "'bad.jsonl', line 2"
head -c 3000 "$T" > t.txt
el calibrate -c 64 -o a.stats "$B" t.txt
"$EDGELLM" calibrate -c 64 -o b.stats "$B" - < t.txt 2> err || fail "standard input"
el calibrate -c 64 --chunks -1 --parse-special -o c.stats "$B" t.txt
el info --json c.stats
has out 'special tokens parsed'
: > empty.txt
el calibrate --json -o e.stats "$B" empty.txt
is "$(json n_tokens)" 1
