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
