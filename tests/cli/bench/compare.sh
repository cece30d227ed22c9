# --compare: another program's results beside ours. It is a script here that answers as a llama-bench does.
cat > peer.sh <<'END'
#!/bin/sh
echo "$*" >> calls
case " $* " in
*' --help '*) echo '  -p, --n-prompt <n>'; [ -e gp ] && echo '  -gp <pp,tg>' || echo '  -d, --n-depth <n>'; exit 0 ;;
*' --bad '*) printf 'some talk\nthe reason\n' >&2; exit 3 ;;
*' --mute '*) echo nothing; exit 0 ;;
*' --killed '*) kill -9 $$ ;;
*' --slow '*) echo $$ > pids; sleep 60 & echo $! >> pids; wait ;;
*' --avg '*) echo '{"build_commit": "abc", "avg_ts": 0.25}'; exit 0 ;;
esac
n=$(grep -c . calls)
ts=$n
case " $* " in *' --fast '*) ts=10000$n ;; esac
printf 'load: fine\n[\n  {\n    "build_commit": "abc",\n    "avg_ts": 7,\n    "samples_ts": [ %s.5 ]\n  }\n]\ntail\n' "$ts"
END
chmod +x peer.sh
field() { sed -n "s/.*\"$2\": *\"\{0,1\}\([^,\"}]*\).*/\1/p" <<< "$1"; }
C="$EDGELLM bench -m $Q --compare ./peer.sh"

# Three rounds of one process each; the median of 1.5, 2.5, 3.5.
$C -p 0 -n 4 -t 1 -r 3 -o jsonl > out
is "$(wc -l < out)" 2
our=$(sed -n 1p out) their=$(sed -n 2p out)
is "$(cat calls)" "$(for i in 1 2 3; do echo "-m $Q -p 0 -n 4 -t 1 -r 1 -o json"; done)"
is "$(field "$our" program)$(field "$their" program)" edgellmpeer.sh
is "$(field "$their" median_ts)" 2.500000
is "$(field "$their" rounds)$(field "$their" build_commit)$(field "$their" best)" 3abc1
is "$(field "$our" ratio)$(field "$our" best)" nullnull
near "$(field "$their" ratio)" "$(awk -v a="$(field "$our" median_ts)" 'BEGIN { print a / 2.5 }')" 1e-5
near "$(field "$their" limit_share)" "$(awk -v a="$(field "$our" limit_share)" -v r="$(field "$their" ratio)" 'BEGIN { print a / r }')" 1e-3
is "$(sed 's/.*"samples_ts": *\[\([^]]*\)\].*/\1/' <<< "$our" | tr ',' '\n' | wc -l)" 3

# Variants: all are printed, the best is marked; options reach the other program.
rm calls
$C -pg 8,2 -p 0 -n 0 -d 4 -b 8 -ctk f32 -t 1 -r 1 --compare-args '' --compare-args ' --fast  -x 1 ' > out
is "$(sed -n 2p calls)" "-m $Q -p 0 -n 0 -pg 8,2 -d 4 -b 8 -ub 8 -ctk f32 -t 1 -r 1 -o json"
is "$(sed -n 3p calls)" "-m $Q -p 0 -n 0 -pg 8,2 -d 4 -b 8 -ub 8 -ctk f32 -t 1 -r 1 -o json --fast -x 1"
has out '| *threads | *test | program *| *t/s | *of the limit | *edgellm is |$'
has out ' pp8+tg2 @ d4 | peer.sh *| *2.50 | '
has out ' pp8+tg2 @ d4 | peer.sh  --fast  -x 1  (best) '
is "$(grep -c ' x |$' out)" 2

# A llama-bench without -d has -gp for generation.
rm calls && touch gp
rc 9 $C -p 4 -n 2 -d 8 -t 1 -r 1 -o csv
has calls "^-m $Q -p 0 -n 0 -gp 8,2 -t 1 -r 1 -o json\$"
is "$(grep -c . calls)" 2
has err 'no option for this test behind 8 tokens of context'
rm gp

# What goes wrong: a row says it, the others go on.
rc 1 $C -p 0 -n 2 -t 1 -r 1 -o jsonl --compare-args --bad --compare-args --avg
has out '"args": "--bad".*"median_ts": null.*exit code 3: the reason'
has out '"args": "--avg".*"median_ts": 0.250000'
rc 1 $C -p 0 -n 2 -t 1 -r 1 --compare-args --mute
has err 'no result with samples_ts or avg_ts in JSON'
rc 1 $C -p 0 -n 2 -t 1 -r 1 --compare-args --killed
has err 'ended by signal 9'
rc 4 "$EDGELLM" bench -m "$Q" -p 0 -n 2 -r 1 --compare ./nothing
has err "'./nothing': cannot be run: No such file"
rc 1 "$EDGELLM" bench -m nofile -p 0 -n 2 -r 1 --compare ./peer.sh
has err 'exit code 4: .*nofile'
rc 2 "$EDGELLM" bench -m "$Q" --compare-args x
for o in --no-warmup --sha256 --no-limit '-oe md'; do rc 2 $C $o; done
rc 2 "$EDGELLM" bench --machine --compare x
rc 2 "$EDGELLM" bench --machine -m "$Q"

# Stopped: the other program and what it started are gone when we are.
rm -f pids
$C -p 0 -n 2 -t 1 -r 1 --compare-args --slow > out 2> err &
us=$!
for i in $(seq 300); do [ "$(grep -c . pids 2> /dev/null)" = 2 ] && break; sleep 0.1; done
is "$(grep -c . pids)" 2
kill -TERM $us
got=0; wait $us || got=$?
is "$got" 143
for p in $(cat pids); do [ ! -e "/proc/$p" ] || grep -q '^State:.Z' "/proc/$p/status" || fail "process $p is still there"; done
