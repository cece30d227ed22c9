#!/usr/bin/env python3
"""Perplexity of edgellm against llama-perplexity's on the same files.

    perplexity.py EDGELLM LLAMA_PERPLEXITY TEXT NAME=MODEL.gguf ... [--kv f32] [--cache FOLDER]

llama-perplexity prints four decimals of the perplexity, which is what is compared. --cache keeps what it said.
"""
import hashlib
import json
import re
import subprocess
from pathlib import Path

from common import bars, emit, parser, run


def final(said):
    """Perplexity and its error as said last; or the running estimate after the last window, which is the same number, and None."""
    found = re.search(r"PPL = ([0-9.]+) \+/- ([0-9.]+)", said)
    if found:
        return float(found[1]), float(found[2])
    n = re.search(r"over (\d+) chunks", said)
    found = re.search(rf"\[{n[1]}\]([0-9.]+),", said) if n else None
    return (float(found[1]), None) if found else None


def peer_ppl(binary, model, text, ctx, kv, threads, cache, chunks=None):
    key = hashlib.sha256(b"|".join([Path(model).read_bytes(), Path(text).read_bytes(), f"{ctx} {kv}{f' {chunks}' if chunks else ''}".encode()])).hexdigest()
    kept = Path(cache, key + ".log") if cache else None
    if kept and kept.exists():
        said = kept.read_text()
    else:
        args = [binary, "-m", model, "-f", text, "-c", str(ctx), "-b", str(ctx), "-t", str(threads), "-ctk", kv, "-ctv", kv]
        if chunks:
            args += ["--chunks", str(chunks)]
        if kv == "f32":
            args += ["-fa", "off"]
        for _ in range(3):  # its log now and then ends before the last line
            r = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            said = r.stdout.decode(errors="replace")
            if final(said):
                break
    found = final(said)
    if not found:
        raise SystemExit(f"llama-perplexity on {model} gave no final estimate:\n{said[-2000:]}")
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(said)
    return found


def main():
    p = parser(__doc__)
    p.add_argument("peer")
    p.add_argument("text")
    p.add_argument("models", nargs="+")
    p.add_argument("--ctx", type=int, default=512)
    p.add_argument("--kv", default="f32")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--cache")
    p.add_argument("--model-name", default="books-4m")
    a = p.parse_args()
    good = True
    for spec in a.models:
        name, path = spec.split("=", 1)
        theirs, stderr = peer_ppl(a.peer, path, a.text, a.ctx, a.kv, a.threads, a.cache)
        ours = json.loads(run([a.edgellm, "eval", "ppl", "-m", path, "-f", a.text, "--protocol", "llama.cpp", "--ctx", a.ctx,
                               "-ctk", a.kv, "-ctv", a.kv, "--json"]))
        percent = 100 * (ours["ppl"] / theirs - 1)
        bar = bars(name)[0]
        good &= emit(model=a.model_name, file=name, text=Path(a.text).name, ctx=a.ctx, kv=a.kv, llama_cpp=theirs,
                     llama_cpp_stderr=stderr, edgellm=ours["ppl"], edgellm_stderr=ours["ppl_stderr"],
                     n_tokens=ours["n_tokens"], percent=percent, bar=bar, **{"pass": abs(percent) <= bar})
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
