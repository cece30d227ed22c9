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
complete_words edgellm run --cpu r
is "$(cat offered)" ref
complete_words edgellm quantize --output-tensor-type Q6
is "$(cat offered)" Q6_K
complete_words edgellm quantize m.gguf Q4_K_
is "$(sort offered | tr '\n' ' ')" 'Q4_K_M Q4_K_S '
complete_words edgellm quantize Q4_K_
is "$(cat offered)" ""
"$EDGELLM" list methods | sed 's/ .*//' | sort > methods
complete_words edgellm quantize --method ""
sort offered > offered_methods
same methods offered_methods
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
