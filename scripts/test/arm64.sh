#!/usr/bin/env bash
# arm64 on another machine: the cross build and its tests under qemu-user, where a CPU model stands for each level of base/cpu.h.
#   scripts/test/arm64.sh build    build/arm64/edgellm, its library and plain-tests
#   scripts/test/arm64.sh check    the same, then the tests. CHECK_ARM64="neon dotprod" runs some of the CPUs
# A CPU that turns out to have another level than it stands for fails. Nothing here is timed: qemu's speed says nothing of a machine's.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=build/arm64 root=$PWD/build/arm64/root
cc=aarch64-linux-gnu-gcc
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# Debian's arm64 packages of the libraries that the build needs, with all they need, unpacked into $root: the C library, headers and
# loader too, so that it serves as sysroot and for qemu. apt works on lists of its own: this machine's packages and architectures
# stay as they are, and no rights are needed.
make_root() {
    local wanted package apt
    wanted=$(scripts/deps.sh --print build | tr ' ' '\n' | grep -E '^lib.*-dev$' | sort)
    [ "$wanted" != "$(cat "$root/packages" 2> /dev/null)" ] || return 0
    echo "fetching arm64 libraries into ${root#"$PWD"/}: ${wanted//$'\n'/ }"
    rm -rf "$root"
    mkdir -p "$tmp/state/lists/partial" "$tmp/cache/archives/partial" "$root"
    apt="apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State=$tmp/state -o Dir::State::status=/dev/null
         -o Dir::Cache=$tmp/cache -o Debug::NoLocking=1 -o APT::Sandbox::User=$(id -un)"
    $apt update
    # shellcheck disable=SC2086
    $apt install -y --no-install-recommends --download-only $wanted
    for package in "$tmp"/cache/archives/*.deb; do
        dpkg-deb -x "$package" "$root"
    done
    echo "$wanted" > "$root/packages"
}

mk() {
    make --no-print-directory -j"$(nproc)" CC="$cc --sysroot=$root" "$@"
}

build() {
    make_root
    mk binaries TARGET_DIR=$out
    local plain
    plain=$(mk -s print-plain)
    mk "$plain"
    cmp -s "$plain" $out/plain-tests || cp "$plain" $out/plain-tests
}

# What lies beside the repository (large tokenizers, real models) is not read: it takes long and depends on no CPU.
emulated() { # CPU PROGRAM ARGUMENTS ...
    EL_TEST_SHARED=none EL_TEST_EMULATED=1 qemu-aarch64 -L "$root" -cpu "$@"
}

# Every suite in a process of its own: qemu keeps memory of each thread that ever was, seven gigabytes for all of them together.
run_tests() { # CPU
    local suite failed=0
    for suite in $(grep -rhoE '^ *TEST\([a-z0-9_]+' tests --include='*.c' | sed 's/.*(//' | sort -u); do
        emulated "$1" $out/plain-tests "$suite" || failed=1
    done
    return $failed
}

# Models of this machine's own program: what a plain build gives, and all CPU levels must give.
make_expected() {
    local type
    make --no-print-directory -j"$(nproc)" all > /dev/null
    for type in $types; do
        ./edgellm quantize -q --force tests/data/books-4m "$tmp/expected-$type.gguf" "$type"
    done
    ./edgellm run -m tests/data/books-4m -p "The children" -n 48 --temp 0 > "$tmp/expected-text" 2> /dev/null
}

# The same bytes from quantize, the same greedy text from float32 weights.
end_to_end() { # LEVEL CPU
    local type
    for type in $types; do
        emulated "$2" $out/edgellm quantize -q --force tests/data/books-4m "$tmp/$1.gguf" "$type"
        cmp "$tmp/$1.gguf" "$tmp/expected-$type.gguf" || { echo "$1: $type has other bytes than on this machine"; return 1; }
    done
    emulated "$2" $out/edgellm run -m tests/data/books-4m -p "The children" -n 48 --temp 0 > "$tmp/$1.txt" 2> /dev/null
    cmp "$tmp/$1.txt" "$tmp/expected-text" || { echo "$1: another greedy text than on this machine"; return 1; }
    echo "$1: same bytes of $types, same greedy text"
}

check_level() { # LEVEL CPU
    local found log=build/check-arm64-$1.log start=$SECONDS
    found=$(emulated "$2" $out/edgellm --version --json | sed -n 's/.*"detected": *"\([^"]*\)".*/\1/p')
    if [ "$found" != "$1" ]; then
        echo "arm64 $1: FAILED: $2 has level '$found'"
        return 1
    fi
    if { run_tests "$2" && end_to_end "$1" "$2"; } > "$log" 2>&1; then
        echo "arm64 $1 ($2): ok, $((SECONDS - start)) s: $(awk '/^[0-9]+ passed/ { p += $1; f += $3; s += $5 } END { print p " passed, " f " failed, " s " skipped" }' "$log"); $(tail -n 1 "$log")"
    else
        echo "arm64 $1 ($2): FAILED, log: $log"
        grep -E '^FAILED|^[^ ]+:[0-9]+: ' "$log" | grep -v 'skipped:' | tail -n 25 | sed 's/^/    /'
        tail -n 3 "$log" | sed 's/^/    /'
        return 1
    fi
}

types="Q8_0 Q4_K_M G4_32"
build
[ "${1:-}" = check ] || exit 0
make_expected
jobs=
for level in ${CHECK_ARM64:-neon dotprod i8mm}; do
    case $level in
    neon) cpu=cortex-a72 ;;
    dotprod) cpu=cortex-a76 ;;
    i8mm) cpu=max ;;
    *) echo "CHECK_ARM64: '$level' is none of neon, dotprod, i8mm" >&2; exit 2 ;;
    esac
    check_level "$level" $cpu &
    jobs="$jobs $!"
done
status=0
for job in $jobs; do
    wait "$job" || status=1
done
exit $status
