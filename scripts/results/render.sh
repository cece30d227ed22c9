#!/bin/sh
# Rewrites the tables of README.md from scripts/results/*.jsonl, between "<!-- results:NAME -->" and "<!-- /results:NAME -->".
#   render.sh [--check] [README]      --check writes nothing and exits with 1 when the file is out of date
# NAME is NAME.jsonl: one flat JSON object a line. An object with "command" says how the others were made and becomes the line under the
# table (its script, in scripts/compare where no folder is named, and machine). The columns of each table are listed here:
# key=Heading=printf format; and rows that are left out of README (only).
set -eu
dir=$(cd "$(dirname "$0")" && pwd)
check=0
if [ "${1:-}" = --check ]; then
    check=1
    shift
fi
readme=${1:-$dir/../../README.md}

new=$readme.tmp$$
trap 'rm -f "$new"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

awk -v dir="$dir" '
BEGIN {
    spec["stories"] = "text=Text=%s;file=File=%s;nll=nats/token=%.4f;expected_nll=published=%.4f;bits_per_byte=bits/byte=%.4f;n_tokens=tokens=%d"
    spec["perplexity"] = "file=File=%s;text=Text=%s;kv=KV=%s;edgellm=edgellm=%.4f;llama_cpp=llama.cpp=%.4f;" \
        "percent=difference=%+.4f %%;bar=allowed=%g %%"
    spec["divergence"] = "model=Model=%s;file=File=%s;mean_kld=mean KLD=%.2e;max_kld=largest KLD=%.2e;same_top_percent=same top token=%.2f %%;" \
        "top_differs_where_sure=differs where llama.cpp is sure=%d"
    spec["reference"] = "model=Model=%s;source=File=%s;positions=positions=%d;max_abs_diff=largest difference=%.2e;bar=allowed=%g"
    spec["fixtures"] = "fixture=Fixture=%s;folder_max_relative=from the folder=%.1e;gguf_max_relative=from our GGUF=%.1e;" \
        "llama_cpp_mean_kld=our GGUF in llama.cpp, mean KLD=%.1e;ids_equal=token ids as llama.cpp=%s"
    spec["errors"] = "model=Model=%s;type=Type=%s;tensors=tensors=%d;ours=edgellm=%.4e;llama_quantize=llama-quantize=%.4e;" \
        "mean_ratio=ratio, mean of tensors=%.3f;largest_ratio=ratio, worst tensor=%.3f"
    spec["ternary"] = "model=Model=%s;weights=Weights=%s;type=Type=%s;tensors=tensors=%d;differ=with other bytes=%d"
    spec["quantize_ppl"] = "type=Type=%s;edgellm_nbytes=bytes=%d;edgellm_file=perplexity, edgellm=%.4f;" \
        "llama_cpp_file=perplexity, llama-quantize=%.4f;percent=difference=%+.3f %%"
    spec["grammar_speed"] = "grammar=Grammar=%s;texts=texts=%d;tokens=tokens=%d;ms_without=ms a token without=%.3f;ms_with=with=%.3f;cost_percent=cost=%+.1f %%"
    spec["parallel"] = "file=File=%s;prompts=prompts=%d;tokens=tokens=%d;seconds_alone=one by one, s=%.2f;seconds_together=together, s=%.2f;" \
        "times=times as fast=%.2f;texts_differ=texts that differ=%d"
    spec["speed"] = "model=Model=%s;what=Test=%s;type=File=%s;threads=threads=%d;unit=Unit=%s;edgellm=edgellm=%.4g;" \
        "limit_percent=of the limit=%.0f %%;llama_cpp=llama.cpp, best=%.4g;ik_llama_cpp=ik_llama.cpp, best=%.4g;" \
        "times_best=times the best=%.2f"
    spec["equal_bytes"] = "type=Type=%s;method=Method=%s;bytes=bytes=%d;kld=mean KLD=%.5f;kld_stderr=standard error=%.5f;" \
        "ratio=of llama-quantize=%.3f"
    spec["ptq"] = "type=Type=%s;method=Method=%s;bytes=bytes=%d;ppl=perplexity=%.3f;kld=mean KLD=%.5f;removed=part of the KLD of rtn removed=%.2f"
    only["ptq"] = "type=^G[23]_128$"
}
function fail(text) {
    print "render.sh: " text > "/dev/stderr"
    failed = 1
    exit 1
}
# One flat JSON object: fills value[key]. Strings, numbers, true, false, null; \" \\ \/ in strings.
function parse(line, where,    key, c, s, is_key) {
    split("", value)
    sub(/^[ \t]*\{/, "", line)
    is_key = 1
    while (1) {
        sub(/^[ \t,]+/, "", line)
        if (line ~ /^\}[ \t]*$/)
            return
        if (substr(line, 1, 1) == "\"") {
            s = ""
            line = substr(line, 2)
            while ((c = substr(line, 1, 1)) != "\"") {
                if (c == "")
                    fail(where ": a string without an end")
                if (c == "\\") {
                    line = substr(line, 2)
                    c = substr(line, 1, 1)
                    if (c !~ /["\\\/]/)
                        fail(where ": escape \\" c)
                }
                s = s c
                line = substr(line, 2)
            }
            line = substr(line, 2)
        } else if (!is_key && match(line, /^[-+.0-9A-Za-z]+/)) {
            s = substr(line, 1, RLENGTH)
            line = substr(line, RLENGTH + 1)
        } else {
            fail(where ": not a flat JSON object")
        }
        if (is_key) {
            if (!sub(/^[ \t]*:[ \t]*/, "", line))
                fail(where ": no colon after " s)
            key = s
        } else {
            value[key] = s
        }
        is_key = !is_key
    }
}
function show(s, format) {
    if (s == "" || s == "null")
        return "-"
    if (s == "true" || s == "false")
        return s == "true" ? "yes" : "no"
    if (format == "%s")
        return s
    if (format == "%d" && s + 0 >= 1e15)
        return s
    return sprintf(format, s + 0)
}
function table(name,    file, line, n, i, col, part, row, rule, under, got) {
    if (!(name in spec))
        fail("no columns for results:" name)
    n = split(spec[name], col, ";")
    row = rule = "|"
    for (i = 1; i <= n; i++) {
        split(col[i], part, "=")
        row = row " " part[2] " |"
        rule = rule (part[3] == "%s" ? "---|" : "---:|")
    }
    print row
    print rule
    file = dir "/" name ".jsonl"
    got = under = ""
    i = 0
    while ((line_status = (getline line < file)) > 0) {
        i++
        if (line ~ /^[ \t]*$/)
            continue
        parse(line, name ".jsonl:" i)
        if ("command" in value) {
            sub(/ .*/, "", value["command"])
            col0 = "`scripts/" (value["command"] ~ /\// ? "" : "compare/") value["command"] "`, " value["cpu"] ", " value["cores"] " cores\n"
            if (!index(under, col0))
                under = under col0
            continue
        }
        if (name in only) {
            split(only[name], part, "=")
            if (value[part[1]] !~ part[2])
                continue
        }
        row = "|"
        for (k = 1; k <= n; k++) {
            split(col[k], part, "=")
            row = row " " show(value[part[1]], part[3]) " |"
        }
        print row
        got = 1
    }
    if (line_status < 0)
        fail("cannot read " file)
    close(file)
    if (!got)
        fail(name ".jsonl has no rows")
    if (under != "")
        printf "\n%s", under
}
/^<!-- results:[a-z0-9_]+ -->$/ {
    if (open != "")
        fail("results:" open " does not end before line " NR)
    open = $2
    sub(/^results:/, "", open)
    print
    print ""
    table(open)
    print ""
    next
}
/^<!-- \/results:[a-z0-9_]+ -->$/ {
    if ("/results:" open != $2)
        fail("line " NR ": " $2 " ends what " (open == "" ? "did not begin" : "results:" open " began"))
    open = ""
    seen++
}
open == "" { print }
END {
    if (failed)
        exit 1
    if (open != "") {
        print "render.sh: results:" open " does not end" > "/dev/stderr"
        exit 1
    }
    if (!seen) {
        print "render.sh: no results:NAME in this file" > "/dev/stderr"
        exit 1
    }
}' "$readme" > "$new"

if cmp -s "$new" "$readme"; then
    exit 0
fi
if [ $check = 1 ]; then
    echo "render.sh: $readme is out of date; 'make results' rewrites its tables" >&2
    exit 1
fi
cat "$new" > "$readme"
