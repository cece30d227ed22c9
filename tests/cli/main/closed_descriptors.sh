code=0; "$EDGELLM" --version >&- 2> err || code=$?
is "$code" 4
has err 'standard output'
"$EDGELLM" --version 2>&- > out
has out edgellm
"$EDGELLM" tokenize -m "$M" <&- > out 2> err
is "$(cat out)" ""
# A descriptor that is missing must not become the output file.
"$EDGELLM" quantize -q "$M" out.gguf Q8_0 <&- >&- 2>&-
"$EDGELLM" verify -q out.gguf > /dev/null
