#!/usr/bin/env bash
# Tests of the command line: every NAME.sh below this folder runs in an empty folder of its own, with
#   EDGELLM   the program (default ./edgellm), absolute       EL_TEST_DATA   tests/data, absolute
#   B M Q T   the bundled model as folder, as F16 GGUF, as Q4_K_M GGUF; a text
# and the functions of lib.sh. Beside it may stand NAME.stdout.exact, NAME.stdout.glob, NAME.stderr.glob (shell patterns for all of
# the output) and NAME.exit (default 0; 77 is "skipped"). Usage: run.sh [NAME-PATTERN]
set -u
here=$(cd "$(dirname "$0")" && pwd)
EDGELLM=$(realpath "${EDGELLM:-$here/../../edgellm}")
EL_TEST_DATA=$(realpath "$here/../data")
export EDGELLM EL_TEST_DATA
export LC_ALL=C

matches_glob() { # TEXT-FILE PATTERN-FILE
    local text pattern
    text=$(cat "$1") pattern=$(cat "$2")
    # shellcheck disable=SC2053
    [[ $text == $pattern ]]
}

run_one() { # CASE.sh
    local name=${1%.sh} label=${1#"$here"/} why='' rc want=0 dir
    dir=$(mktemp -d "$CLI_TMP/case.XXXXXX")
    label=${label%.sh}
    (cd "$dir" && exec bash -eu -c '. "$1"; . "$2"' bash "$here/lib.sh" "$1") > "$dir.stdout" 2> "$dir.stderr" < /dev/null
    rc=$?
    [ -f "$name.exit" ] && want=$(cat "$name.exit")
    if [ "$rc" -eq 77 ]; then
        echo "skipped $label: $(tail -n 1 "$dir.stderr")"
    else
        [ "$rc" -eq "$want" ] || why="exit code $rc, expected $want"
        [ ! -f "$name.stdout.exact" ] || cmp -s "$dir.stdout" "$name.stdout.exact" || why="$why; other standard output"
        [ ! -f "$name.stdout.glob" ] || matches_glob "$dir.stdout" "$name.stdout.glob" || why="$why; other standard output"
        [ ! -f "$name.stderr.glob" ] || matches_glob "$dir.stderr" "$name.stderr.glob" || why="$why; other standard error"
        if [ -n "$why" ]; then
            echo "failed $label: ${why#; }"
            sed 's/^/    stdout: /' "$dir.stdout" | head -n 20
            sed 's/^/    stderr: /' "$dir.stderr" | tail -n 20
        else
            echo "passed $label"
        fi
    fi
    rm -rf "$dir" "$dir.stdout" "$dir.stderr"
}

if [ "${1:-}" = --one ]; then
    run_one "$2"
    exit 0
fi

CLI_TMP=$(mktemp -d)
trap 'rm -rf "$CLI_TMP"' EXIT
B=$EL_TEST_DATA/books-4m T=$EL_TEST_DATA/text/secret-garden.txt M=$CLI_TMP/f16.gguf Q=$CLI_TMP/q4.gguf
export CLI_TMP B M Q T
"$EDGELLM" convert -q --type f16 "$B" "$M" && "$EDGELLM" quantize -q "$M" "$Q" Q4_K_M || { echo "the models for the tests cannot be made" >&2; exit 1; }
find "$here" -name '*.sh' ! -name run.sh ! -name lib.sh -path "$here/*${1:-}*" | sort |
    xargs -P "$(nproc)" -n 1 "$here/run.sh" --one > "$CLI_TMP/results"
grep -vE '^passed' "$CLI_TMP/results"
count() { grep -c "^$1 " "$CLI_TMP/results"; }
echo "$(count passed) passed, $(count failed) failed, $(count skipped) skipped"
[ "$(count failed)" -eq 0 ] && [ "$(count passed)" -gt 0 ]
