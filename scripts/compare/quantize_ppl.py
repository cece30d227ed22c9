#!/usr/bin/env python3
"""Perplexity of a model quantized by edgellm and by llama-quantize, both run in llama-perplexity.

    quantize_ppl.py EDGELLM LLAMA_QUANTIZE LLAMA_PERPLEXITY TEXT MODEL-F32.gguf TYPE ... [--mix] [--chunks N] [--cache FOLDER]

Embedding and output are of the same type on both sides (--pure); --mix compares the mixes as both programs choose them.
"""
import tempfile
from pathlib import Path

from common import emit, parser, run
from perplexity import peer_ppl
from quantize_error import MIX_OF

# Percent by which perplexity may be above that of llama-quantize's file: by bits of the codes.
BARS = {"2": 2.0, "3": 1.0}


def bar_of(type_name):
    return BARS.get(next(c for c in type_name if c.isdigit()), 0.2)


def main():
    p = parser(__doc__)
    p.add_argument("llama_quantize")
    p.add_argument("llama_perplexity")
    p.add_argument("text")
    p.add_argument("model")
    p.add_argument("types", nargs="+")
    p.add_argument("--mix", action="store_true")
    p.add_argument("--ctx", type=int, default=512)
    p.add_argument("--chunks", type=int, help="only the first N windows of the text")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--cache")
    p.add_argument("--model-name", default="books-4m")
    a = p.parse_args()
    good, pure = True, [] if a.mix else ["--pure"]
    with tempfile.TemporaryDirectory() as d:
        ours, theirs = Path(d, "ours.gguf"), Path(d, "theirs.gguf")
        for t in a.types:
            run([a.edgellm, "quantize", "--force", *pure, a.model, ours, t])
            run([a.llama_quantize, *pure, a.model, theirs, t if a.mix else MIX_OF.get(t, t), "2"])
            x, y = (peer_ppl(a.llama_perplexity, f, a.text, a.ctx, "f16", a.threads, a.cache, a.chunks)[0] for f in (theirs, ours))
            percent = 100 * (y / x - 1)
            good &= emit(model=a.model_name, type=t, pure=not a.mix, text=Path(a.text).name, chunks=a.chunks, llama_cpp_file=x, edgellm_file=y, percent=percent,
                         bar=bar_of(t), llama_cpp_nbytes=theirs.stat().st_size, edgellm_nbytes=ours.stat().st_size, **{"pass": percent <= bar_of(t)})
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
