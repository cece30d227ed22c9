# Functions of the cases. Read by run.sh.
# shellcheck shell=bash

fail() { echo "FAILED: $*" >&2; exit 1; }
skip() { echo "$*" >&2; exit 77; }

# rc CODE COMMAND...: runs it with standard output in ./out and standard error in ./err; the exit code must be CODE. The lines of
# progress that a slow machine, or a sanitizer, brings after 10 seconds are left out of ./err.
rc() {
    local want=$1 got=0
    shift
    "$@" > out 2> err || got=$?
    sed -i '/: [0-9]* %, .* s left$/d' err
    [ "$got" -eq "$want" ] || { cat err >&2; fail "exit code $got, expected $want: $*"; }
}
el() { rc 0 "$EDGELLM" "$@"; }

has() { grep -qe "$2" "$1" || { head -n 20 "$1" >&2; fail "$1 lacks: $2"; }; }
lacks() { ! grep -qe "$2" "$1" || { head -n 20 "$1" >&2; fail "$1 has: $2"; }; }
same() { cmp "$1" "$2" >&2 || fail "$1 and $2 differ"; }
differ() { ! cmp -s "$1" "$2" || fail "$1 and $2 are equal"; }
one_line() { [ "$(wc -l < "$1")" -eq 1 ] || { cat "$1" >&2; fail "$1 is not one line"; }; }
empty() { [ ! -s "$1" ] || { head -n 20 "$1" >&2; fail "$1 is not empty"; }; }
no_files() { local f; for f in "$@"; do [ ! -e "$f" ] || fail "$f exists"; done; }

# json KEY [FILE]: value of a top-level member of pretty-printed JSON.
json() { sed -n "s/^  \"$1\": \(.*[^,]\),\{0,1\}\$/\1/p" "${2:-out}"; }
is() { [ "$1" = "$2" ] || fail "'$1', expected '$2'"; }
# near A B RELATIVE
near() { awk -v a="$1" -v b="$2" -v r="$3" 'BEGIN { d = a - b; if (d < 0) d = -d; exit !(d <= r * (b < 0 ? -b : b)) }' || fail "$1 is not near $2"; }
# tty_run COMMAND...: with a terminal as standard output and input; what it showed is in ./out.
# script(1) hands the line to $SHELL, which need not understand the quoting of bash.
tty_run() {
    command -v script > /dev/null || skip "script(1) is missing"
    local line
    line=$(printf '%q ' "$@")
    SHELL=$BASH script -qec "$line" /dev/null > out < /dev/null
}
