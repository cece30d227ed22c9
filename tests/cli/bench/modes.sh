# Every mode takes the options that say something to it, and no other.
for o in "-p 4" "-n 4" "-pg 4,4" "-d 1" "-b 1" "-ctk f16" "-ctv f16" "-r 5" "--delay 1" --no-warmup "-oe md" --sha256 --no-limit \
    --progress "--cache c"; do
    for mode in --machine --kernels; do
        rc 2 "$EDGELLM" bench $mode $o
        has err "says nothing to $mode"
    done
done
for o in --no-warmup "-oe md" --sha256 --no-limit "--cache c"; do
    rc 2 "$EDGELLM" bench -m "$Q" --compare "$EDGELLM" $o
    has err "says nothing to --compare"
done
