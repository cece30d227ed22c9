# The conversation at a terminal: turns, what is kept of them, commands, Ctrl-C and Ctrl-D.
command -v script > /dev/null || skip "script(1) is missing"
t='{% for m in messages %}[{{ m.role }}: {{ m.content }}]{% endfor %}A:'
# What is typed comes from the function type_it; what the terminal shows is in ./out, as lines in ./text.
talk() { # OPTIONS...
    local line got=0
    line=$(printf '%q ' "$EDGELLM" run -m "$M" --temp 0 --chat --chat-template "$t" "$@")
    : > out
    type_it | SHELL=$BASH timeout 60 script -qec "$line" /dev/null > out || got=$?
    tr -d '\r' < out > text
    return $got
}
# Typing waits until the terminal has shown so many prompts, or bytes.
prompts() { for _ in $(seq 300); do [ "$(grep -c '^> ' out)" -lt "$1" ] || return 0; sleep 0.1; done; }
bytes() { for _ in $(seq 300); do [ "$(wc -c < out)" -lt "$1" ] || return 0; sleep 0.1; done; }
# The last line of what the model writes, as the terminal shows it: alone with OPTIONS...
alone() { local f=$1; shift; el run -m "$M" --temp 0 --json "$@"; sed -n 's/^  "text": "\(.*\)",$/\1/p' out | sed 's/.*\\n//' > "$f"; }
shown() { grep -qF -e "$(cat "$1")" text || { cat text >&2; fail "$2"; }; }

alone first -n 6 "[user: Hello]A:"
full=$(sed -n 's/^  "text": "\(.*\)",$/\1/p' out)
type_it() { prompts 1; printf 'Hello\n'; prompts 2; printf 'So\n'; prompts 3; printf '/exit\n'; }
talk -n 6 --timings
shown first "the first answer is another"
has text '^cached: [1-9]'
cp text two_turns
alone second -n 6 "[user: Hello][assistant: $(printf '%b.' "$full" | sed '$s/.$//')][user: So]A:"
cp two_turns text
shown second "the second answer does not know the first"
# What is said on the command line comes first; a line goes on; /clear forgets; the end of input ends.
type_it() { prompts 1; printf '/clear\n'; prompts 2; printf 'Hel\\\nlo\n'; prompts 3; printf '\004'; }
talk -n 6 Hello
shown first "the prompt of the command line is not answered"
cp text cleared
alone third -n 6 $'[user: Hel\nlo]A:'
cp cleared text
shown third "the line did not go on, or /clear forgot nothing"
# Ctrl-C ends a long answer, not the program.
type_it() { prompts 1; printf 'Hello\n'; bytes 1000; printf '\003'; prompts 2; printf '/exit\n'; }
talk -c 200000 --override-kv llama.context_length=int:200000 --ignore-eos || fail "Ctrl-C ended the program"
[ "$(grep -c '^> ' text)" -eq 2 ] || fail "no second prompt"
# Ctrl-C at the prompt does.
type_it() { prompts 1; printf '\003'; sleep 0.5; }
got=0
talk || got=$?
is "$got" 130
# A context that is too small or full is said, and does not end the program.
type_it() {
    prompts 1; printf 'A text that is far too long for so small a context, as anybody can see who counts\n'; prompts 2; printf '/exit\n'
}
talk -c 16 -n 2 || fail "a first text that is too long ended the program"
has text "the context 16"
type_it() { prompts 1; printf 'Hello\n'; prompts 2; printf '/exit\n'; }
talk -c 30
has text "the context of 30 tokens is full; /clear begins anew"
# Commands: another answer, files, help, and words that are none of them.
for s in 0 1 2; do alone again$s -n 8 --temp 0.8 --seed $s "[user: Hello]A:"; done
differ again0 again1
alone with_file -n 8 --temp 0.8 $'[user: Two\nlines\nSo]A:'
printf 'Two\nlines' > file.txt
type_it() {
    local n=1 line
    for line in /regen Hello /regen /regen /help "/nosuch x" "/read missing.txt" "/read file.txt" /clear "/read file.txt" So " /exit" "/exit "; do
        prompts $((n++))
        printf '%s\n' "$line"
    done
}
talk -n 8 --temp 0.8 || fail "exit code $?"
has text "there is no answer yet"
for s in 0 1 2; do shown again$s "no answer with seed $s"; done
has text "^/regen  *another answer"
has text "there is no /nosuch; /help lists"
has text "'missing.txt': cannot open"
has text "9 bytes of 'file.txt' go before"
shown with_file "the file was not said"
[ "$(grep -c '^> ' text)" -eq 13 ] || { cat text >&2; fail "a command too many was one"; }
# Options that only one answer can have.
type_it() { sleep 0.3; }
for o in --json --echo "--prompt-cache c"; do
    # shellcheck disable=SC2086
    talk $o && fail "$o is accepted"
    has text "needs '--single-turn'"
done
