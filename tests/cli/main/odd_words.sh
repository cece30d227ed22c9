# A model is a file, not a pipe; and what is missing is said.
rc 2 "$EDGELLM" quantize "$M" - Q8_0
has err "'-': a model is not written to standard output"
rc 2 "$EDGELLM" convert - out.gguf
has err "'-': a model is not read from standard input"
rc 2 "$EDGELLM" run -m - x
has err "option '--model': a model is not read from standard input"
no_files ./- out.gguf
cp "$M" ./-
el run -m ./- --temp 0 -n 2 x
rc 2 "$EDGELLM" quantize "$M" out.gguf
has err "TYPE is missing behind 'out.gguf'"
rc 2 "$EDGELLM" run "$M" -p x
has err "no model given: option '--model' is missing"
rc 2 "$EDGELLM" tokenize --decode --add-special x
has err "no model given: option '--model' is missing"
rc 2 "$EDGELLM" run -m "$M" -r "" x
has err "option '--stop': the text is empty"
rc 2 "$EDGELLM" convert --split-max-size 2.5 "$M" out.gguf
has err "'2.5' is not a whole number of bytes, at least 1, such as 500M (powers of 1000) or 2Gi (of 1024)"
# Types in any case.
el convert --type F16 "$B" a.gguf
same a.gguf "$M"
el run -m "$M" --temp 0 -n 3 -ctk F32 x
rc 2 "$EDGELLM" convert --type q8_0 "$B" b.gguf
has err "'q8_0' is none of auto, copy, f32, f16, bf16"
# A word too many of a command that takes the model as an option.
rc 2 "$EDGELLM" run "$M" hello
has err 'the model is given with --model'
# All cores, as llama.cpp says it; not among others.
el bench -m "$M" -p 4 -n 0 -r 1 -t -1 -o jsonl
has out "\"n_threads\": *$(nproc)"
rc 2 "$EDGELLM" bench -m "$M" -p 4 -n 0 -r 1 -t 1,-1
# No name is offered twice.
rc 2 "$EDGELLM" quantize "$M" q.gguf Q9
is "$(sed 's/.*known are //' err | tr ',' '\n' | sort | uniq -d | wc -l)" 0
