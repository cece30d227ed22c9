rc 3 "$EDGELLM" tokenize -m "$M" --decode "1 2 x"
has err "'x'"
rc 3 "$EDGELLM" tokenize -m "$M" --decode "4096"
has err "not below 4096"
rc 3 "$EDGELLM" tokenize -m "$M" --decode -- "-1"
rc 3 "$EDGELLM" tokenize -m "$M" --decode 99999999999999999999
el tokenize -m "$M" --decode ""
empty out
el tokenize -m "$M" --decode "40,424,79"
is "$(cat out)" Hello
