# The examples of README.md give what is shown there. "$ cat FILE" makes the file of what is shown.
readme=$EL_TEST_DATA/../../README.md
[ -f "$readme" ] || skip "README.md is missing"
mkdir tests
ln -s "$EL_TEST_DATA" tests/data
ln -s "$EDGELLM" edgellm
# Every example as N.command and N.shown, without the empty lines at its end.
awk '
/^```/ { inside = !inside; file = ""; next }
inside && /^\$ / { n++; file = n ".shown"; printf "" > file; print substr($0, 3) > (n ".command"); blank = ""; next }
inside && file && $0 == "" { blank = blank "\n"; next }
inside && file { printf "%s%s\n", blank, $0 > file; blank = "" }
' "$readme"
n=0
while [ -f $((n + 1)).command ]; do
    n=$((n + 1))
    read -r command file rest < $n.command
    if [ "$command" = cat ]; then
        [ -z "$rest" ] || fail "README.md: $(cat $n.command)"
        cp $n.shown "$file"
        continue
    fi
    bash -c "$(cat $n.command)" > out 2>&1 || { cat out >&2; fail "README.md: $(cat $n.command)"; }
    [ "$(cat out)" = "$(cat $n.shown)" ] || { cat out >&2; fail "README.md: another output of: $(cat $n.command)"; }
done
[ $n -ge 6 ] || fail "README.md: only $n examples"
# So do the commands of the table run.
cp books-4m.gguf model.gguf
head -c 20000 tests/data/text/secret-garden.txt > text.txt
seq 1 20 > ids.txt
mkdir bin
ln -s "$EDGELLM" bin/edgellm
ln -s tests/data/books-4m model-folder
sed -n 's/^| `[a-z ]*` |.*| `\(.*edgellm .*\)` |$/\1/p' "$readme" | sed 's/\\|/|/g' > table
[ "$(wc -l < table)" -ge 12 ] || fail "README.md: the table of commands is not understood"
while read -r line; do
    rm -f model2.gguf
    case $line in *"model-folder model.gguf"*) line=${line/model.gguf/model2.gguf} ;; esac
    got=0
    PATH=$PWD/bin:$PATH bash -c "$line" > out 2> err < /dev/null || got=$?
    case $line in *" diff "*) is $got 1 ;; *) is $got 0 ;; esac || { cat err >&2; fail "README.md: $line"; }
done < table
