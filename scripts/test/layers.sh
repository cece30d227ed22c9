#!/bin/sh
# The arrows of ARCHITECTURE.md: which room may include which. Prints every forbidden #include and exits 1.
set -eu
cd "$(dirname "$0")/../.."

# room: rooms whose headers it may include. edgellm.h, with edgellm_plan.h in it a leaf, may be included by all.
allowed() {
    case $1 in
    cmd) echo "cmd" ;;
    formats) echo "formats base tensor kernels text model" ;;
    quant) echo "quant base tensor kernels text model" ;;
    lib/model) echo "model text kernels tensor base" ;;
    lib/text) echo "text tensor base" ;;
    lib/kernels) echo "kernels tensor base" ;;
    lib/tensor) echo "tensor base" ;;
    lib/base) echo "base" ;;
    esac
}

# Libraries behind one door each: header and the file that may include it.
door() {
    case $1 in
    cjson/*) echo lib/base/json.c ;;
    openssl/*) echo lib/base/sha256.c ;;
    pcre2*) echo lib/text/regex.c ;;
    utf8proc*) echo lib/text/normalize.c ;;
    curl/*) echo lib/base/http.c ;;
    zstd*) echo lib/tensor/zstd.c ;;
    cblas*|lapack*|dlfcn*) echo lib/kernels/linalg.c ;;
    *) echo any ;;
    esac
}

bad=0
for f in $(git ls-files -co --exclude-standard 'cmd/*.[ch]' 'cmd/*.def' 'formats/*.[ch]' 'quant/*.[ch]' 'lib/*.[ch]' 'lib/*.inc' 2>/dev/null || find cmd formats quant lib -name '*.[ch]'); do
    case $f in
    lib/edgellm.h | lib/edgellm_plan.h) continue ;;
    lib/*/*) room=${f#lib/}; room=lib/${room%%/*} ;;
    *) room=${f%%/*} ;;
    esac
    for inc in $(sed -n 's/^ *# *include *"\([^"]*\)".*/\1/p' "$f"); do
        case $inc in
        edgellm.h) continue ;;
        */*) to=${inc%%/*} ;;
        *) to=${room#lib/} ;; # the same folder
        esac
        ok=0
        for a in $(allowed "$room"); do [ "$a" = "$to" ] && ok=1; done
        [ $ok = 1 ] || { echo "$f includes $inc: $room may include only: $(allowed "$room")"; bad=1; }
    done
    for inc in $(sed -n 's/^ *# *include *<\([^>]*\)>.*/\1/p' "$f"); do
        d=$(door "$inc")
        [ "$d" = any ] || [ "$d" = "$f" ] || { echo "$f includes <$inc>, whose one door is $d"; bad=1; }
    done
done
# The heap has one door too, and the library neither prints nor exits.
for f in $(find lib formats quant -name '*.c' ! -path lib/base/mem.c); do
    grep -nHE '(^|[^_a-z.>])(malloc|calloc|realloc|free|printf|puts|exit|abort|strdup)\(' "$f" | grep -vE '^\S+:[0-9]+:\s*(\*|//|/\*)' | grep -vE '/\*.*\b(malloc|calloc|realloc|free|printf|puts|exit|abort)\(' && bad=1
    :
done
[ $bad = 0 ] && echo "layers hold"
exit $bad
