#!/usr/bin/env python3
"""64 prompts from JSONL: side by side against one after the other, in turn (A B A B ...), medians of wall time; the texts must be equal.

    parallel.py EDGELLM TEXT NAME=MODEL.gguf ... [--prompts 64] [--tokens 128] [--rounds 3]

Prompts are pieces of TEXT of 8 to 40 characters with seeds of their own at temperature 0.8. "One by one" is the same program with
--parallel 1: one start, one model. Fails where a text differs or the whole is not 3 times as fast.
"""
import json
import random
import statistics
import subprocess
import time
from pathlib import Path

from common import emit, parser


def write(edgellm, model, lines, parallel, threads):
    begin = time.monotonic()
    args = [edgellm, "run", "-m", model, "--jsonl", "-", "-np", str(parallel), "-c", "512", "-t", str(threads)]
    r = subprocess.run(args, input="".join(json.dumps(x) + "\n" for x in lines).encode(), stdout=subprocess.PIPE, check=True)
    rows = [json.loads(x) for x in r.stdout.splitlines()]
    return time.monotonic() - begin, [(row["text"], row["ids"], row["stop_reason"]) for row in rows], sum(row["n_predict"] for row in rows)


def main():
    p = parser(__doc__)
    p.add_argument("text", type=Path)
    p.add_argument("models", nargs="+")
    p.add_argument("--prompts", type=int, default=64)
    p.add_argument("--tokens", type=int, default=128)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    text, rng, good = a.text.read_text(encoding="utf-8"), random.Random(1), True
    lines = []
    for i in range(a.prompts):
        at = rng.randrange(len(text) - 40)
        lines.append({"prompt": text[at:at + rng.randint(8, 40)], "n_predict": a.tokens, "seed": i, "temp": 0.8})
    for spec in a.models:
        name, path = spec.split("=", 1)
        seconds, texts, n_tokens = {1: [], a.prompts: []}, {}, 0
        for _ in range(a.rounds):
            for parallel in seconds:
                took, texts[parallel], n_tokens = write(a.edgellm, path, lines, parallel, a.threads)
                seconds[parallel].append(took)
        alone, together = (statistics.median(s) for s in seconds.values())
        differ = sum(x != y for x, y in zip(*texts.values()))
        good &= emit(file=name, prompts=a.prompts, tokens=n_tokens, rounds=a.rounds, seconds_alone=round(alone, 3), seconds_together=round(together, 3),
                     times=round(alone / together, 2), texts_differ=differ, **{"pass": differ == 0 and alone >= 3 * together})
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
