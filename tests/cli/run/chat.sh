# Conversations written with a template: one answer, from a prompt, a pipe or a file of messages.
t='{% for m in messages %}[{{ m.role }}: {{ m.content }}]{% endfor %}{% if add_generation_prompt %}A{{ x }}:{% endif %}'
go() { el run -m "$M" -n 8 --temp 0 "$@"; }
go --json "[user: Hello]A:"
want=$(json text) n=$(json n_prompt)
go --json --chat --chat-template "$t" "Hello"
is "$(json text) $(json n_prompt)" "$want $n"
go --json -cnv -st --chat-template "$t" -p "Hello"
is "$(json text)" "$want"
printf '%s' "$t" > t.jinja
echo Hello | go --json --conversation --chat-template-file t.jinja
is "$(json text)" "$want"
go --chat --chat-template "$t" --echo "Hello"
has out '^\[user: Hello\]A:'
go --chat --chat-template "$t" --echo -sys "Be kind" --chat-template-kwargs '{"x": "nna"}' "Hello"
has out '^\[system: Be kind\]\[user: Hello\]Anna:'
go --chat --chat-template "$t" --echo --system-prompt "Be kind" "Hello"
has out '^\[system: Be kind\]\[user: Hello\]A:'
for o in -no-cnv --no-chat --no-conversation; do
    go --json --chat $o "Hello"
    cp out chat
    go --json "Hello"
    is "$(json ids)" "$(json ids chat)"
done
# The system's text from a file, without the end of its last line; line by line too.
echo "Be kind" > sys.txt
for o in -sysf --system-prompt-file; do
    go --chat --chat-template "$t" --echo $o sys.txt "Hello"
    has out '^\[system: Be kind\]\[user: Hello\]A:'
done
go --chat --chat-template "$t" --echo -sysf - "Hello" < sys.txt
has out '^\[system: Be kind\]\[user: Hello\]A:'
go --chat --chat-template "$t" --echo -sysf sys.txt --jsonl - <<< '"Hello"'
has out '"text": "\[system: Be kind\]\[user: Hello\]A:'
echo '[{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}, {"role": "user", "content": "So"}]' > m.json
go --messages m.json --chat-template "$t" --echo
has out '^\[user: Hello\]\[assistant: Hi\]\[user: So\]A:'
go --messages - --chat-template "$t" --echo < m.json
has out '^\[user: Hello\]\[assistant: Hi\]\[user: So\]A:'
# A template by name; the model's own.
go --chat --chat-template chatml --echo Hello
has out '<|im_start|>user'
go --chat --override-kv "tokenizer.chat_template=str:<{{ messages[0].content }}>" --echo Hello
has out '^<Hello>'
# Content in parts: one text where the template knows no parts, else as it is.
parts='[{"role": "user", "name": "x", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]}]'
echo "$parts" > parts.json
go --messages parts.json --chat-template "$t" --echo
is "$(head -n 2 out | tr '\n' '|')" "[user: Hel|lo]A:$(sed -n '2s/^lo\]A://p' out)|"
go --messages parts.json --chat-template '{% for p in messages[0].content %}({{ p.text }}){% endfor %}' --echo
has out '^(Hel)(lo)'
go --jsonl - --chat-template "$t" --echo <<< "{\"messages\": $parts}"
has out '"text": "\[user: Hel\\nlo\]A:'
# Arguments of a tool call: an object where the template takes one, whichever they are; else the text.
calls='[{"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": ARGS}}]}]'
text='"{\"town\": [\"Bath\"]}"'
each='{% for m in messages %}{% for c in m.tool_calls or [] %}'
for case in "{{ c.function.arguments | tojson }}={\"town\": \[\"Bath\"\]}" "{{ c.function.arguments }}={\"town\": \[\"Bath\"\]}" \
    "{% for k, v in c.function.arguments.items() %}({{ k }}:{{ v }}){% endfor %}=(town:\['Bath'\])" \
    "{{ 'x' + c.function.arguments + c.type }}=x{\"town\": \[\"Bath\"\]}function"; do
    echo "${calls/ARGS/$text}" > calls.json
    go --messages calls.json --chat-template "$each${case%%=*}{% endfor %}{% endfor %}" --echo
    has out "^${case##*=}"
done
go --jsonl - --chat-template "$each{{ c.function.arguments | tojson }}{% endfor %}{% endfor %}" --echo <<< "{\"messages\": ${calls/ARGS/$text}}"
has out '"text": "{\\"town\\": \[\\"Bath'
echo "${calls/ARGS/\"no JSON\"}" > calls.json
go --messages calls.json --chat-template "$each{{ c.function.arguments | tojson }}{% endfor %}{% endfor %}" --echo
has out '^"no JSON"'
# What a line of --jsonl gives the template.
see='{{ tools | length }}{{ tools[0].name }}{{ mood }}'
go --jsonl - --chat-template "$see" --chat-template-kwargs '{"mood": "calm"}' --echo << 'EOF'
{"messages": [{"role": "user", "content": "x"}], "tools": [{"name": "look"}]}
{"messages": [{"role": "user", "content": "x"}], "tools": [{"name": "go"}, {}], "chat_template_kwargs": {"mood": "wild"}}
EOF
has out '"text": "1lookcalm'
has out '"text": "2gowild'
go --jsonl - --chat --chat-template "$see" --echo <<< '{"prompt": "x", "tools": [{"name": "go"}]}'
has out '"text": "1go'
# A template of the model's own for tools.
own=(--override-kv "tokenizer.chat_template=str:<plain>" --override-kv "tokenizer.chat_template.tool_use=str:<{{ tools[0] }}>")
go --chat "${own[@]}" --echo Hello
has out '^<plain>'
go --chat "${own[@]}" --chat-template-kwargs '{"tools": ["go"]}' --echo Hello
has out '^<go>'
go --jsonl - "${own[@]}" --echo <<< '{"messages": [{"role": "user", "content": "x"}], "tools": ["look"]}'
has out '"text": "<look>'
rc 9 "$EDGELLM" run -m "$M" --jsonl - --chat-template "$see" << 'EOF'
{"messages": [{"role": "user", "content": "x"}], "tools": {}}
{"messages": [{"role": "user", "content": "x"}], "chat_template_kwargs": "x"}
{"prompt": "x", "tools": []}
EOF
has out "'tools' is no array"
has out "'chat_template_kwargs' is no object"
has out "'tools' is for a conversation"
# Many: lines with messages, and prompts with --chat.
echo "{\"messages\": $(cat m.json), \"echo\": true}" > in.jsonl
go --jsonl in.jsonl --chat-template "$t"
has out '"text": "\[user: Hello\]\[assistant: Hi\]\[user: So\]A:'
go --jsonl - --chat --chat-template "$t" -sys S --echo <<< '"Hello"'
has out '"text": "\[system: S\]\[user: Hello\]A:'
# The prompt cache knows rendered prompts.
go --chat --chat-template "$t" --prompt-cache c "Hello"
go --chat --chat-template "$t" --prompt-cache c --json "Hello"
is "$(json text) $(json n_cached)" "$want $n"
# Refused.
bad() { local code=$1; shift; rc "$code" "$EDGELLM" run -m "$M" "$@"; one_line err; }
bad 8 --chat Hello; has err "the model has no chat template (--chat-template names one, see 'edgellm list chat-templates')"
bad 2 --chat --chat-template nosuch Hello; has err "the name 'nosuch' (see 'edgellm list chat-templates')"
bad 2 --chat --chat-template chatlm Hello; has err "the name 'chatlm', did you mean 'chatml'?"
bad 2 --chat --chat-template t.jinja Hello; has err "a file goes to --chat-template-file"
bad 8 --chat --chat-template "{{ [1] | map('foo') | list }}" Hello; has err "map: no filter 'foo'"
bad 8 --chat --chat-template "{{ [1] | select('bar') | list }}" Hello; has err "select: no test 'bar'"
bad 3 --chat --chat-template "{{ [1] | map(3) | list }}" Hello; has err "map: a int, not the name of a filter"
bad 3 --chat --chat-template '{% for %}' Hello
bad 2 --chat --chat-template "{{ raise_exception('no thanks') }}" Hello; has err "no thanks"
bad 2 --chat-template chatml Hello; has err "needs --chat or --messages"
bad 2 --chat-template-file t.jinja Hello
bad 2 --chat-template-kwargs '{}' Hello
bad 2 -sys x Hello; has err "'--system-prompt' needs --chat"
bad 2 -sysf sys.txt Hello; has err "'--system-prompt-file' needs --chat"
bad 2 --chat --chat-template chatml -sys x -sysf sys.txt Hello; has err "exclude each other"
bad 4 --chat --chat-template chatml -sysf missing.txt Hello
bad 8 --chat --jsonl in.jsonl; has err "no chat template"
bad 2 -st Hello; has err "'--single-turn' needs --chat"
bad 2 --messages m.json Hello; has err "exclude each other"
bad 2 --messages m.json -sys x
bad 2 --chat --chat-template chatml --chat-template-file t.jinja Hello
bad 3 --chat --chat-template chatml --chat-template-kwargs '[' Hello; has err "kwargs of the chat template: not valid JSON"
for m in '{"role": "user"}=no JSON array of messages' '[]=no JSON array of messages' '[5]=message 1 has no role' \
    '[{"content": "x"}]=message 1 has no role' '[{"role": "user", "content": "x"}, {"role": "user"}]=message 2 has no content' \
    '[{"role": "user", "content": 5}]=neither a text nor an array' '[{"role": "user", "content": ["x"]}]=part 1 of the content has no type' \
    '[{"role": "user", "content": [{"type": "text"}]}]=part 1 of the content has no text' 'x=not valid JSON'; do
    echo "${m%%=*}" > m.json
    bad 3 --messages m.json --chat-template chatml; has err "'m.json': .*${m##*=}"
done
echo '[{"role": "user", "content": [{"type": "image_url"}]}]' > m.json
bad 8 --messages m.json --chat-template chatml; has err "'image_url', only 'text' is known"
echo '[{"role": "assistant", "content": null, "tool_calls": []}]' > m.json
go --messages m.json --chat-template chatml
bad 4 --messages missing.json --chat-template chatml
