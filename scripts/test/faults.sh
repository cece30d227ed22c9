#!/usr/bin/env bash
# Kills, full disks and memory bounds. Afterwards there is the old file, or a new file with the same bytes, and no stray temporary.
#   KILLS=20          kills at random times per case (100 before a release)
#   MEM_MODEL_MIB=512 size of the sparse model of the memory test;  MEM_LIMIT_MIB=128
set -u
cd "$(dirname "$0")/../.."
edgellm=$PWD/edgellm make_model=$PWD/build/tools/make_model supervise=$PWD/build/tools/supervise
tmp=$(mktemp -d)
trap 'chmod -R u+w "$tmp"; rm -rf "$tmp"' EXIT
bad=0
fail() { echo "FAILED: $*"; bad=1; }

sum() { sha256sum < "$1" | cut -c1-64; }

# Nothing but the named files may be in a folder. A guard may need a moment to take a temporary away.
only() { # DIR FILE ...
    local dir=$1 found want
    shift
    want=$(printf '%s\n' "$@" | sort)
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        found=$(ls -A "$dir" | sort)
        [ "$found" = "$want" ] && return 0
        sleep 0.1
    done
    fail "in the folder: $(echo $found), wanted: $(echo $want)"
}

# After a fault: the folder holds the input and, if anything, an output with the old or the new bytes.
judge() { # WHAT DIR OLDSUM NEWSUM
    local out=$2/out.gguf
    if [ -e "$out" ]; then
        only "$2" in.gguf out.gguf
        local s
        s=$(sum "$out")
        [ "$s" = "$3" ] || [ "$s" = "$4" ] || fail "$1: out.gguf is damaged"
    else
        [ -z "$3" ] || fail "$1: the old file is gone"
        only "$2" in.gguf
    fi
}

# ---- SIGKILL at random times on a 64 MiB model ------------------------------------------------------------------------------
kills=${KILLS:-20}
d=$tmp/kill
mkdir "$d"
"$make_model" "$d/in.gguf" layers=4 embd=1024 heads=16 kv=4 ff=2048 vocab=2048 type=f16
for cmd in "quantize -q" "convert -q --type f32"; do
    case $cmd in quantize*) args="$d/in.gguf $d/out.gguf Q8_0" ;; *) args="$d/in.gguf $d/out.gguf" ;; esac
    start=$(date +%s%N)
    $edgellm $cmd --force $args || fail "$cmd"
    took=$((($(date +%s%N) - start) / 1000))
    new=$(sum "$d/out.gguf")
    after_write=0 late=0
    for i in $(seq "$kills"); do
        if [ $((i % 2)) = 0 ]; then printf old > "$d/out.gguf"; old=$(sum "$d/out.gguf"); else rm -f "$d/out.gguf"; old=; fi
        "$supervise" kill $(((RANDOM * 32768 + RANDOM) % (took + took / 10))) "$tmp/how" -- $edgellm $cmd --force $args > /dev/null 2>&1
        read -r how written < "$tmp/how"
        # A kill that found the program at its end proves nothing.
        if [ "$how" != killed ]; then late=$((late + 1)); elif [ "$written" -gt 4096 ]; then after_write=$((after_write + 1)); fi
        judge "$cmd, kill $i" "$d" "$old" "$new"
    done
    [ "$after_write" -ge $((kills * 3 / 10)) ] || fail "$cmd: only $after_write of $kills kills came after the first output bytes and before the end"
    echo "$cmd: $((kills - late)) kills, $after_write after the first output bytes; $late more came after the end and do not count"
done
rm -rf "$d"

# ---- SIGKILL and ENOSPC at every write, reserve, sync, link and rename ------------------------------------------------------

# Runs a command with a fault at call number WHEN of a kind. False when it makes fewer calls of that kind.
inject() { # CALLS FAULT WHEN COMMAND ...
    local calls=$1 what=$2 nth=$3
    shift 3
    # The braces keep the shell's own "Killed" away.
    { strace -f -qq -o "$tmp/log" -e trace=$calls -e "inject=$calls:$what:when=$nth" "$@" > "$tmp/out" 2>&1; } 2> /dev/null
    code=$?
    grep -q 'INJECTED\|killed by SIGKILL' "$tmp/log"
}

# The names and bytes of the parts in a folder.
parts() { (cd "$1" && sha256sum out-*.gguf 2> /dev/null | sha256sum | cut -c1-64); }

# After a fault in a split set: no first part, or the whole of the old or the new set; of a new set all or nothing.
judge_set() { # WHAT DIR OLD NEW, sums of parts; OLD is empty where no set was
    local i now stray
    for i in 1 2 3 4 5 6 7 8 9 10; do
        now=$(parts "$2")
        stray=$(ls -A "$2" | grep -v '^in.gguf$\|^out-0000[0-9]-of-0000[0-9].gguf$')
        [ -z "$3" ] && [ ! -e "$2/out-00001-of-$count.gguf" ] && stray=$stray$(cd "$2" && ls | grep '^out-')
        [ -z "$stray" ] && break
        sleep 0.1
    done
    [ -z "$stray" ] || fail "$1: left behind: $(echo $stray)"
    [ -e "$2/out-00001-of-$count.gguf" ] || return 0
    [ "$now" = "$3" ] || [ "$now" = "$4" ] || fail "$1: the set is neither the old nor the new one"
}

if strace -o /dev/null true 2> /dev/null; then
    d=$tmp/strace
    mkdir "$d"
    "$make_model" "$d/in.gguf" layers=1 embd=256 heads=4 kv=2 ff=256 vocab=300
    $edgellm quantize -q "$d/in.gguf" "$d/out.gguf" Q4_K || fail quantize
    new=$(sum "$d/out.gguf")
    n=0
    for call in pwrite64 fallocate fsync link,linkat rename,renameat,renameat2; do
        for old_there in no yes; do
            hits=0
            for fault in signal=KILL error=ENOSPC; do
                for when in $(seq 400); do
                    rm -f "$d/out.gguf"
                    old=
                    [ $old_there = no ] || { printf old > "$d/out.gguf"; old=$(sum "$d/out.gguf"); }
                    inject $call $fault $when $edgellm quantize -q --force -t 1 "$d/in.gguf" "$d/out.gguf" Q4_K || break
                    hits=$((hits + 1))
                    judge "$fault at $call $when" "$d" "$old" "$new"
                    # A file system may not support reserving space; every other failed call must be reported.
                    if [ $fault = error=ENOSPC ] && [ $code -ne 4 ]; then fail "ENOSPC at $call $when: exit code $code"; fi
                done
            done
            # A new file is linked, and nothing is renamed.
            [ $hits -ge 2 ] || [ $call,$old_there = rename,renameat,renameat2,no ] || fail "$call, old file: $old_there: $hits faults"
            n=$((n + hits))
        done
    done
    echo "$n faults injected at pwrite64, fallocate, fsync, link and rename"
    rm -f "$d/out.gguf"

    split="$edgellm convert -q --force -t 1 --type f16 --split-max-tensors 4"
    mkdir "$tmp/old"
    $split --override-kv general.name=str:Old "$d/in.gguf" "$tmp/old/out.gguf" || fail "split"
    $split "$d/in.gguf" "$d/out.gguf" || fail "split"
    new=$(parts "$d") old_set=$(parts "$tmp/old")
    count=$(ls "$d" | sed -n 's/^out-00001-of-\(.*\).gguf$/\1/p')
    [ "${count:-0}" != 0 ] && [ "$new" != "$old_set" ] || fail "two split sets"
    n=0
    for call in fallocate fsync link,linkat rename,renameat,renameat2; do
        for old_there in no yes; do
            hits=0
            for fault in signal=KILL error=ENOSPC; do
                for when in $(seq 100); do
                    rm -f "$d"/out-*
                    old=
                    [ $old_there = no ] || { cp "$tmp/old"/out-* "$d"; old=$old_set; }
                    inject $call $fault $when $split "$d/in.gguf" "$d/out.gguf" || break
                    hits=$((hits + 1))
                    judge_set "split, old set: $old_there, $fault at $call $when" "$d" "$old" "$new"
                    # What needs space comes before anything of an old set goes.
                    if [ $fault = error=ENOSPC ] && [ -n "$old" ]; then
                        case $call in fallocate | link*) [ "$(parts "$d")" = "$old" ] || fail "split, ENOSPC at $call $when: the old set is gone" ;; esac
                    fi
                    if [ $fault = error=ENOSPC ] && [ $code -ne 4 ] && [ $code -ne 0 ]; then fail "split, ENOSPC at $call $when: exit code $code"; fi
                done
            done
            [ $hits -ge 2 ] || [ $call,$old_there = rename,renameat,renameat2,no ] || fail "split, $call, old set: $old_there: $hits faults"
            n=$((n + hits))
        done
    done
    echo "$n faults injected into split sets of $((10#$count)) parts"
    rm -rf "$tmp/old" "$d"/out-*

    # A folder is exchanged as a whole. Where that cannot be (a folder within it), config.json goes first and comes last.
    folder="$edgellm convert -q --force -t 1 --type f16 --split-max-tensors 8"
    $folder --override-kv general.name=str:Old --type f32 "$d/in.gguf" "$tmp/old" || fail "folder"
    $folder "$d/in.gguf" "$tmp/new" || fail "folder"
    echo mine | tee "$tmp/old/README.md" > "$tmp/new/README.md"
    sums() { (cd "$1" && find . -name '.*.tmp' -prune -o -type f -exec sha256sum {} + | sort | sha256sum | cut -c1-64); }
    mkdir "$d/at"
    for kind in exchanged single new; do
        if [ $kind = new ]; then rm "$tmp/new/README.md"; fi
        if [ $kind = single ]; then mkdir "$tmp/old/sub" && echo x | tee "$tmp/old/sub/x" > /dev/null && cp -r "$tmp/old/sub" "$tmp/new"; fi
        if [ $kind = new ]; then rm -r "$tmp/new/sub"; fi
        old=$(sums "$tmp/old") new=$(sums "$tmp/new") n=0
        for call in fsync mkdir,mkdirat link,linkat rename,renameat,renameat2 unlink,unlinkat; do
            for fault in signal=KILL error=ENOSPC; do
                for when in $(seq 60); do
                    rm -rf "$d/at"
                    mkdir "$d/at"
                    [ $kind = new ] || cp -r "$tmp/old" "$d/at/out"
                    inject $call $fault $when $folder "$d/in.gguf" "$d/at/out" || break
                    n=$((n + 1))
                    what="folder, $kind, $fault at $call $when"
                    if [ -e "$d/at/out" ]; then now=$(sums "$d/at/out"); else now=none; fi
                    case $kind,$now in
                        *,$old | *,$new | new,none) ;;
                        single,*) { [ ! -e "$d/at/out/config.json" ] && [ -e "$d/at/out/README.md" ]; } || fail "$what: a mix, or a file that is not ours is gone" ;;
                        *) fail "$what: neither the old nor the new folder" ;;
                    esac
                    if [ $call = unlink,unlinkat ]; then
                        # strace kills the guard at its first unlink, too: then the next run clears up.
                        $folder "$d/in.gguf" "$d/at/out" || fail "$what: the next run fails"
                    else
                        for i in 1 2 3 4 5 6 7 8 9 10; do
                            [ -z "$(find "$d/at" -name '.*.tmp')" ] && break
                            sleep 0.1
                        done
                    fi
                    [ -z "$(find "$d/at" -name '.*.tmp')" ] || fail "$what: left behind: $(find "$d/at" -name '.*.tmp')"
                done
            done
        done
        # Where nothing can be renamed at all, the old folder stays whole.
        rm -rf "$d/at"
        mkdir "$d/at"
        [ $kind = new ] || cp -r "$tmp/old" "$d/at/out"
        inject rename,renameat,renameat2 error=EXDEV 1+ $folder "$d/in.gguf" "$d/at/out" || fail "folder, $kind: no rename"
        [ $code -eq 4 ] || fail "folder, $kind, EXDEV always: exit code $code"
        [ $kind = new ] || [ "$(sums "$d/at/out")" = "$old" ] || fail "folder, $kind, EXDEV always: the old folder is damaged"
        [ -z "$(find "$d/at" -name '.*.tmp')" ] || fail "folder, $kind, EXDEV always: a temporary is left"
        [ $n -ge 20 ] || fail "folder, $kind: only $n faults"
        echo "$n faults injected into a folder, $kind"
    done
    rm -rf "$d" "$tmp/old" "$tmp/new"

    # calibrate: killed or without space at any write, with the state of --resume or without; afterwards the old file, or the new
    # one, and what is killed goes on to the same bytes.
    d=$tmp/calibrate
    mkdir "$d"
    books=tests/data/books-4m
    head -c 1500 tests/data/text/secret-garden.txt > "$d/in.gguf"
    cal="$edgellm calibrate -q --force --no-hessian -c 32 --chunks 2 -t 1"
    $cal -o "$d/out.gguf" "$books" "$d/in.gguf" || fail calibrate
    new=$(sum "$d/out.gguf")
    n=0
    for call in pwrite64 fsync link,linkat rename,renameat,renameat2; do
        for old_there in no yes; do
            hits=0
            for fault in signal=KILL error=ENOSPC; do
                # Some of 400 writes: the rows between layers and the sums of each are many alike. Every other time with the state.
                case $call in pwrite64) steps=$(seq 3 40 1000) ;; *) steps=$(seq 100) ;; esac
                for when in $steps; do
                    rm -f "$d"/out.gguf*
                    old=
                    [ $old_there = no ] || { printf old > "$d/out.gguf"; old=$(sum "$d/out.gguf"); }
                    resume=
                    [ $((hits % 2)) = 0 ] || resume=--resume
                    inject $call $fault $when $cal $resume -o "$d/out.gguf" "$books" "$d/in.gguf" || break
                    hits=$((hits + 1))
                    if [ $fault = error=ENOSPC ] && [ $code -ne 4 ]; then fail "calibrate, ENOSPC at $call $when: exit code $code"; fi
                    if [ -n "$resume" ] && [ -e "$d/out.gguf.part" ]; then
                        $cal --resume -o "$d/out.gguf" "$books" "$d/in.gguf" || fail "calibrate goes on from $fault at $call $when"
                        [ "$(sum "$d/out.gguf")" = "$new" ] || fail "calibrate goes on from $fault at $call $when: other bytes"
                    fi
                    judge "calibrate, $fault at $call $when" "$d" "$old" "$new"
                done
            done
            [ $hits -ge 2 ] || [ $call,$old_there = rename,renameat,renameat2,no ] || fail "calibrate, $call, old file: $old_there: $hits faults"
            n=$((n + hits))
        done
    done
    echo "$n faults injected into calibrate"

    # quantize --resume, killed three times in a row at different writes: each goes on from where the last was, to the same bytes.
    pack="$edgellm quantize -q --stats $tmp/stats.gguf -t 1"
    $edgellm calibrate -q -c 64 --chunks 4 -o "$tmp/stats.gguf" "$books" "$d/in.gguf" || fail "calibrate for --resume"
    for method in clip quarot+clip; do
        rm -f "$d"/out.gguf*
        $pack --force --method $method "$books" "$tmp/whole.gguf" Q4_0 || fail "$method"
        size=0
        for when in 40 70 100; do
            inject pwrite64 signal=KILL $when $pack --resume --method $method "$books" "$d/out.gguf" Q4_0 || fail "$method: no kill at write $when"
            now=$(stat -c %s "$d/out.gguf.part" 2> /dev/null)
            [ "${now:-0}" -gt "$size" ] || fail "$method: the state did not grow up to the kill at write $when: ${now:-none} bytes"
            size=${now:-0}
        done
        $pack --resume --method $method "$books" "$d/out.gguf" Q4_0 || fail "$method goes on"
        [ "$(sum "$d/out.gguf")" = "$(sum "$tmp/whole.gguf")" ] || fail "$method: other bytes after three kills"
        only "$d" in.gguf out.gguf
        echo "$method: killed three times, the same bytes"
    done
    rm -rf "$d" "$tmp/whole.gguf"
else
    echo "strace may not trace here: faults at system calls skipped"
fi

# ---- disk and process limits ------------------------------------------------------------------------------------------------
d=$tmp/limit
mkdir "$d"
"$make_model" "$d/in.gguf" layers=1 embd=256 heads=4 kv=2 ff=256 vocab=300
(ulimit -f 64; $edgellm quantize -q "$d/in.gguf" "$d/out.gguf" Q8_0 2> "$tmp/err")
[ $? -eq 4 ] || fail "file size limit: $(cat "$tmp/err")"
only "$d" in.gguf
if [ "$(id -u)" -ne 0 ]; then
    chmod a-w "$d"
    $edgellm quantize -q "$d/in.gguf" "$d/out.gguf" Q8_0 2> /dev/null
    [ $? -eq 4 ] || fail "read-only folder"
    chmod u+w "$d"
fi
$edgellm quantize -q "$d/in.gguf" "$d/in.gguf" Q8_0 2> /dev/null && fail "input == output was accepted"
ln "$d/in.gguf" "$d/link.gguf"
$edgellm quantize -q --force "$d/in.gguf" "$d/link.gguf" Q8_0 2> /dev/null && fail "a hard link to the input was accepted as output"
rm -rf "$d"

# ---- interrupts -------------------------------------------------------------------------------------------------------------
d=$tmp/int
mkdir "$d"
"$make_model" "$d/in.gguf" layers=4 embd=1024 heads=16 kv=4 ff=2048 vocab=2048 type=f16
for sig in INT:130 TERM:143; do
    timeout --preserve-status -s ${sig%:*} 0.25 $edgellm quantize -q -t 1 "$d/in.gguf" "$d/out.gguf" Q4_K 2> /dev/null
    code=$?
    [ $code -eq ${sig#*:} ] || fail "SIG${sig%:*}: exit code $code, wanted ${sig#*:}"
    only "$d" in.gguf
done
rm -rf "$d"

# ---- memory does not grow with the model ------------------------------------------------------------------------------------
d=$tmp/mem
mkdir "$d"
mib=${MEM_MODEL_MIB:-512}
limit=$((${MEM_LIMIT_MIB:-128} * 1024))
# Per layer: 4 * 2048^2 + 3 * 2048 * 5632 parameters (k and v with 32 heads too) of 2 bytes = 98 MiB.
layers=$(((mib + 97) / 98))
"$make_model" "$d/in.gguf" layers=$layers embd=2048 heads=32 kv=32 ff=5632 vocab=4096 type=f16 sparse=1
size=$(($(stat -c %s "$d/in.gguf") / 1048576))
for cmd in "quantize -q -t 2 $d/in.gguf $d/out.gguf Q4_0" "convert -q -t 2 --type f16 $d/in.gguf $d/out.gguf"; do
    "$supervise" peak "$tmp/peak" -- $edgellm ${cmd%% *} --force ${cmd#* } || fail "$cmd"
    peak=$(cat "$tmp/peak")
    [ "$peak" -lt "$limit" ] || fail "$cmd: peak $peak KiB, at most $limit"
    echo "${cmd%% *} of a $size MiB model: peak $((peak / 1024)) MiB"
done
rm -rf "$d"

# ---- hostile headers: 64 MiB and twice their bytes --------------------------------------------------------------------------
d=$tmp/header
mkdir "$d"
header() { # NAME AWK-PROGRAM, which prints the JSON
    local n i peak limit
    awk "BEGIN { $2 }" > "$d/json"
    n=$(stat -c %s "$d/json")
    { for i in 0 8 16 24 32 40 48 56; do printf "\\x$(printf %02x $((n >> i & 255)))"; done; cat "$d/json"; } > "$d/$1.safetensors"
    "$supervise" peak "$tmp/peak" -- $edgellm info "$d/$1.safetensors" > /dev/null 2> "$tmp/err"
    peak=$(cat "$tmp/peak") limit=$((64 * 1024 + 2 * n / 1024))
    [ "$peak" -lt $limit ] || fail "header of $1: peak $peak KiB, at most $limit"
    grep -q 'out of memory\|Killed' "$tmp/err" && fail "header of $1: $(cat "$tmp/err")"
    echo "header of $1, $((n / 1048576)) MiB: peak $((peak / 1024)) MiB, at most $((limit / 1024)), $(cut -c1-120 "$tmp/err" | sed "s|$tmp||" | grep . || echo accepted)"
    rm "$d"/*
}
entry='\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}'
header tensors "printf \"{\"; for (i = 0; i < 590000; i++) printf \"%s\\\"a%040d%d$entry\", i ? \",\" : \"\", 0, i; printf \"}\""
header the_most_tensors "printf \"{\"; for (i = 0; i < 65536; i++) printf \"%s\\\"%d$entry\", i ? \",\" : \"\", i; printf \"}\""
header metadata 'printf "{\"__metadata__\":{"; for (i = 0; i < 4194000; i++) printf "%s\"%x\":\"\"", i ? "," : "", i; printf "}}"'
header dimensions 'printf "{\"a\":{\"shape\":["; for (i = 0; i < 4190000; i++) printf "%s0", i ? "," : ""; printf "]}}"'
header a_name 'printf "{\""; for (i = 0; i < 900000; i++) printf "\\u0061bcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz012"; printf "\":1}"'
rm -rf "$d"

[ $bad = 0 ] && echo "all faults were survived"
exit $bad
