#!/bin/bash
# Speed of edgellm and other programs on the same files, in turn (A B A B ...), medians. One flat JSON object a line on stdout.
#   speed.sh run EDGELLM -r ROUNDS -t THREADS -p PROMPTS -n GENERATED [-d DEPTHS] {-P NAME=LLAMA_BENCH [-A ARGS] ...} ... {SHAPE:TYPE=FILE} ...
#   speed.sh quantize EDGELLM LLAMA_QUANTIZE MODEL.gguf SHAPE THREADS ROUNDS TYPE ...
# run: `edgellm bench --compare`, once for each other program, with the lists of -t, -p, -n and -d; each -A is a variant of the last -P
# (-A '' is the plain one; none: the plain one alone) and the best of them counts. A row has the median of all our samples, for each
# program NAME its best median, NAME_ratio (ours by it, within that run) and NAME_variants, and limit_percent: our share of what the
# machine could do at most, with what binds and what was measured.
# quantize: seconds that pass from F16 to TYPE, for a machine that does nothing else.
set -eu
usage() { sed -n 's/^#   speed/usage: speed/p' "$0" >&2; exit 2; }
[ $# -ge 3 ] || usage
what=$1 edgellm=$2
shift 2
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
cpu=$(awk -F': *' '/^model name/ { print $2; exit }' /proc/cpuinfo)
median() { sort -g "$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

seconds() { # COMMAND ...: what it took
    local TIMEFORMAT=%R
    { time "$@" > "$d/out" 2> "$d/err"; } 2> "$d/time" || { cat "$d/err" >&2; exit 1; }
    cat "$d/time"
}

quantize() { # LLAMA_QUANTIZE MODEL SHAPE THREADS ROUNDS TYPE ...
    local peer=$1 model=$2 shape=$3 threads=$4 rounds=$5 type i
    shift 5
    cat "$model" > /dev/null # into the page cache
    for type in "$@"; do
        rm -f "$d/ours" "$d/theirs"
        for ((i = 0; i < rounds; i++)); do
            seconds "$edgellm" quantize -q --force "$model" "$d/ours.gguf" "$type" "$threads" >> "$d/ours"
            seconds "$peer" "$model" "$d/theirs.gguf" "$type" "$threads" >> "$d/theirs"
        done
        printf '{"model": "%s", "cpu": "%s", "threads": %s, "rounds": %s, "what": "quantize", "type": "%s", "unit": "s", ' \
            "$shape" "$cpu" "$threads" "$rounds" "$type"
        printf '"edgellm": %s, "llama_cpp": %s}\n' "$(median "$d/ours")" "$(median "$d/theirs")"
    done
}

# Lines of bench --compare -o jsonl, each behind the name of its program and a tab, to one line per test.
merge() { # SHAPE TYPE
    awk -F '\t' -v shape="$1" -v type="$2" '
    function get(key,    s) { # the value of a member, without quotes
        if (!match($2, "\"" key "\": (\"[^\"]*\"|\\[[^]]*\\]|[^,}]*)"))
            return ""
        s = substr($2, RSTART + length(key) + 4, RLENGTH - length(key) - 4)
        gsub(/^"|"$/, "", s)
        return s == "null" ? "" : s
    }
    function middle(list,    v, n, i, j, t) {
        n = split(list, v, /[][, ]+/)
        for (i = j = 1; i <= n; i++)
            if (v[i] != "")
                v[j++] = v[i] + 0
        n = j - 1
        for (i = 2; i <= n; i++)
            for (j = i; j > 1 && v[j - 1] > v[j]; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
        return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
    }
    {
        id = get("n_threads") SUBSEP get("test")
        if (get("status") != "ok") {
            print "speed.sh: " shape " " type " " get("test") ": " get("program") " " get("args") ": " get("status") > "/dev/stderr"
            next
        }
        if (!(id in seen)) {
            order[++n_tests] = id
            seen[id] = 1
            cpu[id] = get("cpu_info")
            threads[id] = get("n_threads")
            test[id] = get("test")
        }
        if (get("program") == "edgellm" && get("best") == "") {
            samples[id] = samples[id] "," get("samples_ts")
            shares[id] = shares[id] "," get("limit_share")
            reads[id] = reads[id] "," get("read_bytes_per_s")
            int8s[id] = int8s[id] "," get("int8_ops_per_s")
            f32s[id] = f32s[id] "," get("f32_ops_per_s")
            limit[id] = get("limit")
            rounds[id] = get("rounds")
            next
        }
        if (!($1 in known)) {
            known[$1] = 1
            names[++n_names] = $1
        }
        key = id SUBSEP $1
        variants[key] = variants[key] (variants[key] == "" ? "" : "; ") (get("args") == "" ? "plain" : get("args")) " " get("median_ts") + 0
        if (get("best") == 1) {
            best[key] = get("median_ts")
            ratio[key] = get("ratio")
        }
    }
    END {
        for (t = 1; t <= n_tests; t++) {
            id = order[t]
            if (samples[id] == "")
                continue
            printf "{\"model\": \"%s\", \"cpu\": \"%s\", \"threads\": %d, \"rounds\": %d, \"what\": \"%s\", \"type\": \"%s\", ", shape, cpu[id],
                threads[id], rounds[id], test[id], type
            printf "\"unit\": \"tokens/s\", \"edgellm\": %.4f, \"limit\": \"%s\", \"limit_percent\": %.1f, \"read_gb_per_s\": %.2f",
                middle(samples[id]), limit[id], 100 * middle(shares[id]), middle(reads[id]) / 1e9
            if (middle(int8s[id]) > 0)
                printf ", \"int8_gop_per_s\": %.1f", middle(int8s[id]) / 1e9
            if (middle(f32s[id]) > 0)
                printf ", \"f32_gop_per_s\": %.1f", middle(f32s[id]) / 1e9
            least = ""
            for (k = 1; k <= n_names; k++) {
                key = id SUBSEP names[k]
                if (!(key in variants))
                    continue
                printf ", \"%s\": %.4f, \"%s_ratio\": %.4f, \"%s_variants\": \"%s\"", names[k], best[key], names[k], ratio[key], names[k],
                    variants[key]
                if (least == "" || ratio[key] + 0 < least)
                    least = ratio[key] + 0
            }
            if (least != "")
                printf ", \"times_best\": %.4f", least
            print "}"
        }
    }' "$d/rows"
}

run() {
    local rounds=5 threads=2 prompts=512 gens=128 depths=0 o i rc arg shape type file
    local -a names=() paths=() owner=() variants=() more
    while getopts r:t:p:n:d:P:A: o; do
        case $o in
        r) rounds=$OPTARG ;;
        t) threads=$OPTARG ;;
        p) prompts=$OPTARG ;;
        n) gens=$OPTARG ;;
        d) depths=$OPTARG ;;
        P) names+=("${OPTARG%%=*}") paths+=("${OPTARG#*=}") ;;
        A) [ ${#names[@]} -gt 0 ] || usage; owner+=($((${#names[@]} - 1))) variants+=("$OPTARG") ;;
        *) usage ;;
        esac
    done
    shift $((OPTIND - 1))
    if [ $# -eq 0 ] || [ ${#names[@]} -eq 0 ]; then usage; fi
    for arg in "$@"; do
        file=${arg#*=} shape=${arg%%:*} type=${arg%%=*}
        type=${type#*:}
        : > "$d/rows"
        for ((i = 0; i < ${#names[@]}; i++)); do
            more=()
            for ((k = 0; k < ${#owner[@]}; k++)); do
                [ "${owner[k]}" != "$i" ] || more+=(--compare-args "${variants[k]}")
            done
            rc=0
            cat "$file" > /dev/null # into the page cache
            "$edgellm" bench -m "$file" -r "$rounds" -t "$threads" -p "$prompts" -n "$gens" -d "$depths" -o jsonl --compare "${paths[i]}" \
                ${more[@]+"${more[@]}"} > "$d/out" 2> "$d/err" || rc=$?
            # 1 and 9: a program has not every test; its rows say so.
            [ $rc -eq 0 ] || [ $rc -eq 9 ] || [ $rc -eq 1 ] || { cat "$d/err" >&2; exit 1; }
            sed "s/^/${names[i]}\t/" "$d/out" >> "$d/rows"
        done
        merge "$shape" "$type"
    done
}

case $what in
run) run "$@" ;;
quantize) [ $# -ge 6 ] || usage; quantize "$@" ;;
*) usage ;;
esac
