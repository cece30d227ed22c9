for v in '' x 1x ' 1' -2 0x10 1e3 99999999999999999999999 +1 1.5; do
    rc 2 "$EDGELLM" run -m x -t "$v" y
    has err "option '-t': "
    rc 2 "$EDGELLM" run -m x --threads="$v" y
    has err "option '--threads': "
done
rc 2 "$EDGELLM" run -m x -t 1000000000 y
rc 2 "$EDGELLM" run -m x --seed 18446744073709551616 y
has err 'from -1 to 18446744073709551615$'
rc 2 "$EDGELLM" run -m x --seed -2 y
rc 2 "$EDGELLM" run -m x --top-k -2 y
has err 'from -1 to 1073741824$'
for v in '' nan inf -inf 1e999 0x1p3 ' 1' 1,5 -101 101; do
    rc 2 "$EDGELLM" run -m x --temp "$v" y
    has err "option '--temp': "
done
rc 2 "$EDGELLM" run -m x -n -3 y
rc 2 "$EDGELLM" run -m x --top-p 1.1 y
rc 2 "$EDGELLM" convert --split-max-size 0 a b
rc 2 "$EDGELLM" convert --split-max-size 5X a b
rc 2 "$EDGELLM" convert --split-max-size 99999999T a b
rc 2 "$EDGELLM" convert --type q4 a b
has err "'q4' is none of auto, copy, f32, f16, bf16"
rc 2 "$EDGELLM" convert a
has err "usage: edgellm convert"
rc 2 "$EDGELLM" convert a b c
has err "unexpected argument 'c'"
