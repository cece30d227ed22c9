#!/usr/bin/env python3
"""What a grammar costs: processor time for a token with and without one, in turn (A B A B ...): the median of the ratios.

    grammar_speed.py EDGELLM MODEL.gguf TESTS_DATA_GRAMMAR [--rounds 5] [--tokens 120] [--total 400]

Lines of JSONL are written one after the other by one thread under a grammar: as many texts of at most --tokens as make --total. Then
texts of the same lengths without it; the end of a text is a token too. Of both, what the same lines take up to their first token is
taken away (loading, prompts, reading the grammar and its first states: "start_ms", for a line). A random model is the worst case: it
goes through states and vocabulary like no text that makes sense. Prints one row for every grammar; fails where a token costs over
10 % more.
"""
import json
import resource
import statistics
import subprocess
from pathlib import Path

from common import emit, parser


def write(edgellm, model, lines):
    """(processor seconds, tokens of each text, its end being one) of one run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    r = subprocess.run([edgellm, "run", "-m", str(model), "--jsonl", "-", "-t", "1", "-np", "1", "-c", "1024"],
                       input="".join(json.dumps(x) + "\n" for x in lines).encode(), stdout=subprocess.PIPE, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    rows = [json.loads(x) for x in r.stdout.splitlines()]
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            [row["n_predict"] + (row["stop_reason"] == "eog") for row in rows])


def lines_of(a, member):
    """Lines under the grammar and without it, with the same number of tokens each."""
    held, lengths = [], []
    while sum(lengths) < a.total and len(held) < 256:
        new = [{"prompt": "Once upon a time", "seed": len(held) + i, "temp": 1, "top_k": 40, "n_predict": a.tokens, **member} for i in range(8)]
        held += new
        lengths += write(a.edgellm, a.model, new)[1]
    plain = [{**{k: v for k, v in line.items() if k not in member}, "n_predict": n} for line, n in zip(held, lengths)]
    return plain, held, sum(lengths)


def main():
    p = parser(__doc__)
    p.add_argument("model", type=Path)
    p.add_argument("folder", type=Path)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--tokens", type=int, default=120)
    p.add_argument("--total", type=int, default=400)
    a = p.parse_args()
    grammars = {path.stem: {"grammar": path.read_text()} for path in sorted(a.folder.glob("*.gbnf"))}
    for case in json.loads((a.folder / "schemas.json").read_text())["cases"]:
        if case["name"] in ("any", "map", "extra-members", "pattern-inside"):  # those whose texts are long
            grammars[f"schema {case['name']}"] = {"json_schema": json.dumps(case["schema"])}
    good = True
    for name, member in grammars.items():
        plain, held, n_tokens = lines_of(a, member)
        per_token, start = {0: [], 1: []}, []
        for _ in range(a.rounds):
            begin = []
            for which, lines in enumerate((plain, held)):
                first = write(a.edgellm, a.model, [{**line, "n_predict": 1} for line in lines])[0]
                per_token[which].append((write(a.edgellm, a.model, lines)[0] - first) / (n_tokens - len(lines)))
                begin.append(first)
            start.append((begin[1] - begin[0]) / len(held))
        free, under = (statistics.median(per_token[i]) for i in (0, 1))
        cost = statistics.median(w / f for f, w in zip(per_token[0], per_token[1])) - 1  # of neighbours: the machine's speed drifts
        good &= emit(grammar=name, texts=len(held), tokens=n_tokens, rounds=a.rounds, ms_without=round(1e3 * free, 3), ms_with=round(1e3 * under, 3),
                     cost_percent=round(100 * cost, 1), start_ms=round(1e3 * statistics.median(start), 2),
                     **{"pass": cost <= 0.1})
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
