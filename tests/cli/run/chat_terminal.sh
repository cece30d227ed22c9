# The conversation at a terminal: turns, what is kept of them, /clear, /exit, Ctrl-C and Ctrl-D.
command -v script > /dev/null || skip "script(1) is missing"
t='{% for m in messages %}[{{ m.role }}: {{ m.content }}]{% endfor %}A:'
# What is typed comes from standard input, with pauses where it waits for answers; what the terminal shows is in ./out.
talk() { # OPTIONS...
    local line got=0
    line=$(printf '%q ' "$EDGELLM" run -m "$M" --temp 0 --chat --chat-template "$t" "$@")
    SHELL=$BASH timeout 60 script -qec "$line" /dev/null > out || got=$?
    tr -d '\r' < out > text
    return $got
}
el run -m "$M" -n 6 --temp 0 --json "[user: Hello]A:"
first=$(sed -n 's/^  "text": "\(.*\)",$/\1/p' out)
{ printf 'Hello\n'; sleep 1; printf 'So\n'; sleep 1; printf '/exit\n'; } | talk -n 6 --timings
grep -qF -e "${first##*\\n}" text || { cat text >&2; fail "the first answer is another"; }
has text '^> '
el run -m "$M" -n 6 --temp 0 --json "[user: Hello][assistant: $(printf '%b.' "$first" | sed '$s/.$//')][user: So]A:"
second=$(sed -n 's/^  "text": "\(.*\)",$/\1/p' out)
grep -qF -e "${second##*\\n}" text || { cat text >&2; fail "the second answer does not know the first"; }
has text '^cached: [1-9]'
# What is said on the command line comes first; a line goes on; /clear forgets; the end of input ends.
{ sleep 1; printf '/clear\nHel\\\nlo\n'; sleep 1; printf '\004'; } | talk -n 6 Hello
grep -qF -e "${first##*\\n}" text || fail "the prompt of the command line is not answered"
cp text shown
el run -m "$M" -n 6 --temp 0 --json $'[user: Hel\nlo]A:'
third=$(sed -n 's/^  "text": "\(.*\)",$/\1/p' out)
grep -qF -e "${third##*\\n}" text || { cat text >&2; fail "the line did not go on, or /clear forgot nothing"; }
# Ctrl-C ends a long answer, not the program.
{ printf 'Hello\n'; sleep 2; printf '\003'; sleep 1; printf '/exit\n'; } |
    talk -c 200000 --override-kv llama.context_length=int:200000 --ignore-eos || fail "Ctrl-C ended the program"
[ "$(grep -o '> ' text | wc -l)" -ge 2 ] || fail "no second prompt"
# Ctrl-C at the prompt does.
got=0
{ sleep 1; printf '\003'; sleep 1; } | talk || got=$?
is "$got" 130
# A context that is full is said, and /clear helps.
{ printf 'A text that is far too long for so small a context, as anybody can see who counts\n'; sleep 1; printf '/exit\n'; } | talk -c 16 -n 2 || true
has text "the context 16"
# Options that only one answer can have.
for o in --json --echo "--prompt-cache c"; do
    # shellcheck disable=SC2086
    { sleep 0.3; } | talk $o && fail "$o is accepted"
    has text "needs '--single-turn'"
done
