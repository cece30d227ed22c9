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
complete_words edgellm run --min
is "$(cat offered)" --min-p
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
# Values, also where bash has split the word at '=', and in small letters.
complete_words edgellm quantize --tensor-type ffn_down=Q6
is "$(cat offered)" ffn_down=Q6_K
complete_words edgellm quantize --tensor-type ffn_down = Q6
is "$(cat offered)" Q6_K
complete_words edgellm quantize --tensor-type = ffn_down = Q6
is "$(cat offered)" Q6_K
complete_words edgellm quantize --tensor-type ffn_down =
grep -qx Q8_0 offered || fail "no types behind REGEX="
complete_words edgellm quantize --tensor-type ffn
is "$(cat offered)" ""
complete_words edgellm quantize --token-embedding-type q6
is "$(cat offered)" q6_k
complete_words edgellm quantize m.gguf o.gguf q4_k_m
is "$(cat offered)" q4_k_m
complete_words edgellm convert --type bf
is "$(cat offered)" bf16
complete_words edgellm convert --type = bf
is "$(cat offered)" bf16
complete_words edgellm eval ppl --protocol = d
is "$(cat offered)" documents
complete_words edgellm bench --output jsonl
is "$(cat offered)" jsonl
complete_words edgellm help toke
is "$(cat offered)" tokenize
complete_words edgellm completion ""
grep -qx bash offered || fail "bash is not offered"
complete_words edgellm convert --type F
is "$(tr '\n' ' ' < offered)" 'F32 F16 '
complete_words edgellm run --chat-template llama2-s
is "$(tr '\n' ' ' < offered)" 'llama2-sys llama2-sys-bos llama2-sys-strip '
complete_words edgellm run --samplers typ
is "$(cat offered)" typ_p
"$EDGELLM" list | sed -n 's/^\([a-z-]*\):$/\1/p' | sort > kinds
[ -s kinds ] || fail "no kinds"
complete_words edgellm list ""
grep -v '^-' offered | sort > offered_kinds
same kinds offered_kinds
