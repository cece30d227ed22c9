#!/usr/bin/env python3
"""Which type every tensor gets: edgellm quantize --dry-run against llama-quantize --dry-run, on files and on made-up shapes.

    mixes.py EDGELLM LLAMA_QUANTIZE MAKE_MODEL [MODEL.gguf ...]

MAKE_MODEL is tests/tools/make_model (make tools); its files are sparse, so shapes of 70 billion parameters cost nothing.
"""
import json
import re
import subprocess
import tempfile
from pathlib import Path

from common import emit, parser, run

MIXES = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q2_K_S", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M",
         "Q6_K", "IQ4_NL", "IQ4_XS", "TQ1_0", "TQ2_0", "Q2_0", "Q1_0", "MXFP4_MOE", "F16", "BF16"]
REFUSED = ["IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS", "IQ3_XS", "IQ3_S", "IQ3_M"]
SHAPES = [
    "layers=1 embd=256 heads=8 kv=8 ff=768 vocab=512",
    "layers=2 embd=256 heads=8 kv=4 ff=768 vocab=512 tied=1",
    "layers=5 embd=512 heads=8 kv=2 ff=1536 vocab=1000",
    "layers=7 embd=256 heads=8 kv=2 ff=512 vocab=512 experts=4",
    "layers=8 embd=256 heads=8 kv=8 ff=512 vocab=512 experts=8",
    "layers=12 embd=768 heads=12 kv=12 ff=2048 vocab=32000",
    "layers=16 embd=2048 heads=32 kv=8 ff=8192 vocab=1000 tied=1",
    "layers=22 embd=2048 heads=32 kv=4 ff=5632 vocab=32000",
    "layers=24 embd=1024 heads=16 kv=1 ff=2816 vocab=1000",
    "layers=28 embd=3072 heads=24 kv=8 ff=8192 vocab=1000 tied=1",
    "layers=32 embd=4096 heads=32 kv=8 ff=14336 vocab=32000",
    "layers=32 embd=4096 heads=32 kv=32 ff=11008 vocab=32000",
    "layers=32 embd=4096 heads=32 kv=8 ff=14336 vocab=32000 experts=8",
    "layers=40 embd=5120 heads=40 kv=40 ff=13824 vocab=32000",
    "layers=56 embd=6144 heads=48 kv=8 ff=16384 vocab=1000 experts=8",
    "layers=60 embd=6656 heads=52 kv=52 ff=17920 vocab=1000",
    "layers=80 embd=8192 heads=64 kv=8 ff=28672 vocab=32000",
    "layers=80 embd=8192 heads=64 kv=64 ff=22016 vocab=32000",
    # Rows that no block of 256, or no block of 32, fits.
    "layers=4 embd=288 heads=6 kv=6 ff=768 vocab=512",
    "layers=4 embd=64 heads=8 kv=4 ff=172 vocab=512",
]


def peer_types(binary, model, mix, pure):
    args = [binary, "--dry-run", *(["--pure"] if pure else []), str(model), mix]
    r = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    types = {}
    for line in r.stdout.decode(errors="replace").splitlines():
        m = re.match(r"\[ *\d+/ *\d+\] +(\S+) .* type = +(\w+),.*?(?:\((\w+)\))?$", line.strip())
        if m:
            types[m[1]] = (m[3] or m[2]).upper()
    if b"no tensor type fallback is defined" in r.stdout:
        return None
    if r.returncode or not types:
        raise SystemExit(f"llama-quantize --dry-run {model} {mix}: exit status {r.returncode}\n{r.stdout.decode()[-1500:]}")
    return types


def our_types(binary, model, mix, pure):
    said = json.loads(run([binary, "quantize", "--dry-run", "--json", *(["--pure"] if pure else []), model, mix]))
    return {t["name"]: t["to"].upper() for t in said["tensors"]}, {t["name"]: t["fallback"] for t in said["tensors"] if t["fallback"]}


def compare(a, model, name, mix, pure):
    theirs = peer_types(a.llama_quantize, model, mix, pure)
    ours, fallbacks = our_types(a.edgellm, model, mix, pure)
    if theirs is None:
        return emit(model=name, mix=mix, pure=pure, tensors=len(ours), example="llama-quantize refuses this shape", **{"pass": True})
    differ = sorted(n for n in theirs if ours.get(n) != theirs[n])
    first = differ[0] if differ else None
    return emit(model=name, mix=mix, pure=pure, tensors=len(theirs), fallbacks=len(fallbacks), differ=len(differ),
                example=f"{first}: {theirs[first]} / {ours.get(first)}" if first else None,
                **{"pass": not differ and ours.keys() == theirs.keys()})


def refused(a, model, name, mix):
    """A mix that cannot be made: edgellm must say so by its name, and status 8 (unsupported)."""
    r = subprocess.run([a.edgellm, "quantize", "--dry-run", str(model), mix], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    text = r.stderr.decode(errors="replace").strip()
    return emit(model=name, mix=mix, refused=text, **{"pass": r.returncode == 8 and f"type '{mix}'" in text})


def main():
    p = parser(__doc__)
    p.add_argument("llama_quantize")
    p.add_argument("make_model")
    p.add_argument("models", nargs="*")
    a = p.parse_args()
    good = True
    cases = [(m, False) for m in MIXES] + [("Q4_K_M", True), ("Q4_0", True), ("Q3_K_M", True), ("MXFP4_MOE", True)]
    for mix in REFUSED if a.models else []:
        good &= refused(a, a.models[0], Path(a.models[0]).stem, mix)
    for m in a.models:
        for mix, pure in cases:
            good &= compare(a, m, Path(m).stem, mix, pure)
    with tempfile.TemporaryDirectory() as d:
        model = Path(d, "shape.gguf")
        for shape in SHAPES:
            run([a.make_model, model, *shape.split(), "sparse=1"])
            for mix, pure in cases:
                good &= compare(a, model, shape, mix, pure)
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
