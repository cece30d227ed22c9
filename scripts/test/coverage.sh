#!/bin/sh
# Line coverage of the unit tests and the command line tests, per folder. Fails below 95 % for formats/ and 85 % for everything.
set -eu
cd "$(dirname "$0")/../.."
flags="--coverage -O1 -fprofile-update=atomic"
make -s -j2 plain-and-binaries CFLAGS="$flags" LDFLAGS="--coverage" TARGET_DIR=build/coverage
find build -name '*.gcda' -delete
plain=$(make -s print-plain CFLAGS="$flags" LDFLAGS="--coverage")
"$plain" > build/coverage/plain.log 2>&1 || { tail -20 build/coverage/plain.log; exit 1; }
for r in $(make -s print-replay CFLAGS="$flags" LDFLAGS="--coverage"); do
    n=${r##*/replay_fuzz_}
    "$r" "tests/fuzz/corpus/$n" > /dev/null
done
EDGELLM=build/coverage/edgellm tests/cli/run.sh > build/coverage/cli.log 2>&1 || { tail -20 build/coverage/cli.log; exit 1; }
gcovr -r . --object-directory "$(dirname "$plain")" --filter 'lib/' --filter 'formats/' --filter 'quant/' --filter 'cmd/' \
    --exclude-unreachable-branches --json-summary build/coverage/summary.json --txt build/coverage/report.txt -j 2
awk '/^(cmd|formats|quant|lib)\// { split($1, p, "/"); room = p[1] == "lib" ? p[1] "/" p[2] : p[1]; n[room] += $2; hit[room] += $3; all += $2; allhit += $3 }
    END { for (r in n) printf "%-14s %6d lines %6.2f %%\n", r, n[r], 100 * hit[r] / n[r]; printf "%-14s %6d lines %6.2f %%\n", "everything", all, 100 * allhit / all;
          exit !(100 * hit["formats"] / n["formats"] >= 95 && 100 * allhit / all >= 85) }' build/coverage/report.txt
