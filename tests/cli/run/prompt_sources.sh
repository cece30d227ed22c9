el run -m "$M" --temp 0 -n 8 "Once upon a time"
cp out first
el run -m "$M" --temp 0 -n 8 -p "Once upon a time" && same out first
el run -m "$M" --temp 0 -n 8 --prompt "Once upon a time" && same out first
echo "Once upon a time" > prompt
el run -m "$M" --temp 0 -n 8 -f prompt && same out first
el run -m "$M" --temp 0 -n 8 --file=prompt && same out first
"$EDGELLM" run -m "$M" --temp 0 -n 8 < prompt > out && same out first
"$EDGELLM" run -m "$M" --temp 0 -n 8 - < prompt > out && same out first
# A newline of an argument is the prompt's.
el run -m "$M" --temp 0 -n 8 "Once upon a time
"
differ out first
rc 2 "$EDGELLM" run -m "$M" -p a b
rc 2 "$EDGELLM" run -m "$M" -f prompt b
rc 2 "$EDGELLM" run -m "$M" a b
rc 2 "$EDGELLM" run x
has err "'--model' is missing"
rc 4 "$EDGELLM" run -m "$M" -f nofile
