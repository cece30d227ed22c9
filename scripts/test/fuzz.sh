#!/bin/sh
# libFuzzer on every target. Usage: fuzz.sh SECONDS [target ...]. New inputs go to build/fuzz/corpus, findings to build/fuzz/findings.
set -eu
cd "$(dirname "$0")/../.."
seconds=$1
shift
[ $# -gt 0 ] || set -- $(ls tests/fuzz/fuzz_*.c | sed 's|.*/fuzz_||; s|\.c$||')
flags="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -O1 -g"
cc=${FUZZ_CC:-clang}
lib=$(make -s print-lib CC="$cc" CFLAGS="$flags" LDFLAGS="-fsanitize=address,undefined")
make -s -j2 "$lib" CC="$cc" CFLAGS="$flags" LDFLAGS="-fsanitize=address,undefined"
mkdir -p build/fuzz/findings
status=0
for t in "$@"; do
    mkdir -p "build/fuzz/corpus/$t"
    $cc -std=c11 -D_GNU_SOURCE -Ilib -I. -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -O1 -g "tests/fuzz/fuzz_$t.c" "$lib" \
        -o "build/fuzz/$t" -lcjson -lpcre2-8 -lutf8proc -lcrypto -lm -pthread
    if "build/fuzz/$t" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="build/fuzz/findings/$t-" \
        "build/fuzz/corpus/$t" "tests/fuzz/corpus/$t" > "build/fuzz/$t.log" 2>&1; then
        echo "$t: $(sed -n 's/.*number_of_executed_units: *//p' "build/fuzz/$t.log") runs in $seconds s, no finding"
    else
        echo "$t: FINDING, see build/fuzz/$t.log"
        status=1
    fi
done
exit $status
