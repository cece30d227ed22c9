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
bad 8 --chat Hello; has err "template"
bad 2 --chat --chat-template nosuch Hello; has err "nosuch"
bad 3 --chat --chat-template '{% for %}' Hello
bad 2 --chat --chat-template "{{ raise_exception('no thanks') }}" Hello; has err "no thanks"
bad 2 --chat-template chatml Hello; has err "needs --chat or --messages"
bad 2 --chat-template-file t.jinja Hello
bad 2 --chat-template-kwargs '{}' Hello
bad 2 -sys x Hello; has err "'--system-prompt' needs --chat"
bad 2 -st Hello; has err "'--single-turn' needs --chat"
bad 2 --messages m.json Hello; has err "exclude each other"
bad 2 --messages m.json -sys x
bad 2 --chat --chat-template chatml --chat-template-file t.jinja Hello
bad 3 --chat --chat-template chatml --chat-template-kwargs '[' Hello
echo '{"role": "user"}' > m.json
bad 3 --messages m.json --chat-template chatml
bad 4 --messages missing.json --chat-template chatml
