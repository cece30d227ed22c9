# A header with its data cut off right behind it is refused; the same file with a hole for its data is listed at once.
size=$(stat -c %s "$M")
head -c 300000 "$M" > sparse.gguf
truncate -s "$size" sparse.gguf
el info sparse.gguf
has out '47 tensors'
command -v strace > /dev/null || exit 0
strace -f -e trace=openat,read,pread64,mmap -o trace "$EDGELLM" info "$M" > out 2> err || skip "strace does not work here"
fd=$(sed -n "s|.*openat(.*f16.gguf.*= \([0-9]*\)\$|\1|p" trace | head -n 1)
[ -n "$fd" ] || fail "the file was not opened"
got=$(grep -E "(read|pread64)\($fd," trace | sed 's/.*= //' | awk '{ n += $1 } END { print n + 0 }')
[ "$got" -lt 2000000 ] || fail "$got bytes of the file were read"
sed -n '/openat(.*f16.gguf/,$p' trace > after
lacks after "mmap(.*, $fd, "
