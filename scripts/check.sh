#!/usr/bin/env bash
# Every test, step by step, each with its time. `make check` calls it after installing what is missing. A step that fails does not stop
# the rest, so that one run shows everything; the exit status is that of the whole. CHECK_STEPS="unit cli" runs a part.
set -u
cd "$(dirname "$0")/.."
passed=0 failed=0 skipped=0
mkdir -p build
jobs=$(nproc)

step() { # NAME COMMAND ...
    local name=$1 log=build/check-$1.log start=$SECONDS
    shift
    if [ -n "${CHECK_STEPS:-}" ] && [[ " $CHECK_STEPS " != *" $name "* ]]; then
        skipped=$((skipped + 1))
        return
    fi
    if "$@" > "$log" 2>&1; then
        passed=$((passed + 1))
        printf '%-16s ok      %4d s  %s\n' "$name" $((SECONDS - start)) "$(tail -n 1 "$log" | cut -c1-90)"
    else
        failed=$((failed + 1))
        printf '%-16s FAILED  %4d s  log: %s\n' "$name" $((SECONDS - start)) "$log"
        tail -n 25 "$log" | sed 's/^/    /'
    fi
}

mk() { make --no-print-directory -j"$jobs" "$@"; }

step build     mk all tools
step headers   mk check-headers
step layers    mk check-layers
step style     mk style
step man       mk man-lint
step results   scripts/results/render.sh --check
step unit      mk unit
step cli       mk cli
step example   scripts/test/example.sh
step faults    mk faults
step same      scripts/test/same_bytes.sh
step sanitizers mk check-asan

printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
