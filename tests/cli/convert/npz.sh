# Archives of numpy.savez give the values of the safetensors file that was made beside them.
D=$EL_TEST_DATA/npz
el convert "$D/types.npz" types.safetensors
el diff types.safetensors "$D/types.safetensors"
el info --json "$D/types.npz" > /dev/null
cp "$D/types.npz" unnamed
el convert unnamed again.safetensors
same types.safetensors again.safetensors
for f in objects:'holds Python objects' compressed:'is compressed' big-endian:'are big-endian' records:'records of several members'; do
    rc 8 "$EDGELLM" info "$D/${f%%:*}.npz"
    has err "array 'x'.*${f#*:}"
done
rc 2 "$EDGELLM" convert --to npz "$D/types.npz" x.npz
