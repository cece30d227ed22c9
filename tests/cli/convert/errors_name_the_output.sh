# What goes wrong within a folder's temporary names the output as it was written, and leaves nothing.
(ulimit -f 8; trap '' XFSZ; rc 4 "$EDGELLM" convert "$M" new/; cp err err.new)
cp err.new err
has err "'new/model.safetensors': cannot "
lacks err '\.tmp'
[ ! -e new ] || fail "an output is left"
# A folder that can be made but not opened: the real reason, once.
if [ "$(id -u)" -ne 0 ]; then
    (umask 0500; rc 4 "$EDGELLM" convert "$M" private; has err "Permission denied")
fi
[ -z "$(find . -name '.*.tmp')" ] || fail "temporary files are left"
