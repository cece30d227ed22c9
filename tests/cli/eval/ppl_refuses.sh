rc 2 "$EDGELLM" eval ppl -m "$M"
has err "'--file' is missing"
rc 2 "$EDGELLM" eval ppl -f "$T"
has err "'--model' is missing"
rc 4 "$EDGELLM" eval ppl -m "$M" -f nofile
echo short > short.txt
rc 2 "$EDGELLM" eval ppl -m "$M" -f short.txt
has err 'at least one window of 512'
rc 2 "$EDGELLM" eval ppl -m "$M" -f "$T" --protocol other
rc 2 "$EDGELLM" eval ppl -m "$M" -f "$T" -c 1
rc 2 "$EDGELLM" eval ppl -m "$M" -f "$T" extra
rc 3 "$EDGELLM" eval ppl -m "$B/tokenizer.json" -f "$T"
