#!/bin/sh
# Installs the Debian packages that are missing. Usage: scripts/deps.sh [--print] build [test] [fuzz] [coverage] [arm64]
# As root or with a password-less sudo it installs; else it prints the command and exits 1. --print only says which they are.
set -eu

print=
[ "${1:-}" != --print ] || { print=1; shift; }
packages=
for kind in "$@"; do
    case $kind in
    build) packages="$packages gcc make libc6-dev libcjson-dev libpcre2-dev libutf8proc-dev libssl-dev" ;;
    test) packages="$packages libcriterion-dev mandoc strace clang bash glpk-utils" ;;
    fuzz) packages="$packages clang libclang-rt-14-dev" ;;
    coverage) packages="$packages gcovr" ;;
    arm64) packages="$packages gcc-aarch64-linux-gnu qemu-user" ;;
    *) echo "deps.sh: unknown kind '$kind' (build, test, fuzz, coverage, arm64)" >&2; exit 2 ;;
    esac
done
if [ -n "$print" ]; then
    echo "$packages"
    exit
fi

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "deps.sh: this is not a Debian system; install the equivalents of:$packages" >&2
    exit 0
fi

missing=
for p in $packages; do
    dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        sudo=sudo
    else
        echo "deps.sh: these packages are missing; install them and run make again:" >&2
        echo "  apt-get install$missing" >&2
        exit 1
    fi
fi
echo "installing:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
$sudo apt-get update -qq >&2
# shellcheck disable=SC2086
$sudo apt-get install -y -qq --no-install-recommends $missing >&2
