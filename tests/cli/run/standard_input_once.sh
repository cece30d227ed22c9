# Standard input is read for one thing.
bad() { rc 2 "$EDGELLM" run -m "$M" "$@" < /dev/null; one_line err; has err "cannot both come from standard input"; }
bad --grammar-file -
has err "the prompt and option '--grammar-file'"
bad -f - --json-schema-file -
bad - -jf -
bad --jsonl - --grammar-file -
has err "option '--jsonl' and option '--grammar-file'"
bad --messages - --chat-template-file -
bad --chat --chat-template-file - -sysf - x
bad --chat -sysf -
printf 'root ::= "yes"' | el run -m "$M" --grammar-file - x
is "$(cat out)" yes
