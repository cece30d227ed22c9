el completion bash
cp out script
bash -n script || fail "the script does not parse"
complete_words() { # WORDS...: what is offered for the last one
    bash -c '. ./script; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _edgellm; printf "%s\n" "${COMPREPLY[@]}"' bash "$@" > offered
}
complete_words edgellm qu
is "$(cat offered)" quantize
complete_words edgellm eval k
is "$(cat offered)" kld
complete_words edgellm quantize --pu
is "$(cat offered)" --pure
complete_words edgellm eval ppl --protocol g
is "$(cat offered)" gptq
complete_words edgellm run --te
is "$(cat offered)" --temp
complete_words edgellm run -m ""
is "$(cat offered)" ""
rc 2 "$EDGELLM" completion fish
has err "only bash is known"
# Every option of every command is offered.
"$EDGELLM" list commands | sed 's/   *.*//' > commands
while read -r c; do
    # shellcheck disable=SC2086
    complete_words edgellm $c -
    # shellcheck disable=SC2086
    "$EDGELLM" $c --help < /dev/null | sed -n 's/^  \(-.*\)/\1/p' | sed 's/   *.*//' | grep -oE '(^|[ ,])--?[a-z][a-z0-9-]*' | tr -d ' ,' | sort -u > options
    while read -r o; do grep -qxe "$o" offered || fail "$c: $o is not offered"; done < options
done < commands
