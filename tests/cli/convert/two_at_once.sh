# Two runs that write the same output at the same time: both succeed, and one whole output is there with the user's other files.
el convert "$M" folder
for round in 1 2 3 4 5 6 7 8 9 10; do
    echo mine > folder/README.md
    "$EDGELLM" convert -q --force "$M" folder & one=$!
    "$EDGELLM" convert -q --force --type f32 "$M" folder & two=$!
    wait $one && wait $two || fail "round $round: a folder's writer failed"
    is "$(cat folder/README.md)" mine
    el verify folder
    [ -z "$(find . -name '.*.tmp')" ] || fail "round $round: temporary files are left"
done
for round in 1 2 3 4 5 6 7 8 9 10; do
    [ $round -ne 6 ] || rm set-*
    "$EDGELLM" convert -q --force --split-max-tensors 12 "$M" set.gguf & one=$!
    "$EDGELLM" convert -q --force --split-max-tensors 12 --type f32 "$M" set.gguf & two=$!
    wait $one && wait $two || fail "round $round: a set's writer failed"
    el verify set-00001-of-*
    [ -z "$(find . -name '.*.tmp')" ] || fail "round $round: temporary files are left"
done
# Without leave to overwrite one of them makes it.
rm -r folder set-*
made=0
"$EDGELLM" convert -q "$M" folder 2> err1 & one=$!
"$EDGELLM" convert -q --type f32 "$M" folder 2> err2 & two=$!
wait $one && made=1
wait $two && made=$((made + 1))
is $made 1
cat err1 err2 > err
has err "overwriting was not asked for"
el verify folder
# Somebody else's lock of the folder does not stop us for ever.
if command -v flock > /dev/null; then flock . timeout 60 "$EDGELLM" convert -q --force "$M" folder || fail "a locked folder"; fi
