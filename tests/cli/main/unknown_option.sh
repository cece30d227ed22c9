rc 2 "$EDGELLM" quantize --prue a b Q4_0
one_line err
has err "edgellm quantize: unknown option '--prue', did you mean '--pure'?"
rc 2 "$EDGELLM" run --temperatur 1
rc 2 "$EDGELLM" bench -m x --zzzzzzzzzzzzzzz
has err "see 'edgellm bench --help'"
rc 2 "$EDGELLM" info -x y
rc 2 "$EDGELLM" info --json=1 y
has err "option '--json' takes no argument"
rc 2 "$EDGELLM" run -m
has err "option '-m' needs an argument"
# What was probably meant; nothing that is far away.
unknown() { rc 2 "$EDGELLM" run -m x "$1" 3; has err "$2"; }
unknown --n "unknown option '--n', did you mean '-n'?"
unknown -temp "did you mean '--temp'?"
unknown -n3 "did you mean '-n 3'?"
unknown -s=7 "did you mean '-s 7'?"
unknown --ctx "did you mean '--ctx-size'?"
unknown --n_predict "did you mean '--n-predict'?"
unknown -1 "unknown option '-1': a word that begins with '-' goes behind '--'"
for o in -zz --no-such-thing -x; do
    unknown $o "unknown option '$o' (see 'edgellm run --help')"
done
# What people know from other programs.
unknown -ngl "unknown option '-ngl': nothing is offloaded, all runs on the CPU"
unknown --jinja "unknown option '--jinja': leave it out, chat templates are Jinja"
unknown --max-new-tokens=5 "unknown option '--max-new-tokens': see --n-predict"
unknown --hf-repo "unknown option '--hf-repo': models are not downloaded"
rc 2 "$EDGELLM" convert --outfile a.gguf folder
one_line err
has err "unknown option '--outfile': the output is the second argument"
