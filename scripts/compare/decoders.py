#!/usr/bin/env python3
"""Decoders of edgellm against the Python package gguf's dequantize, to the bit, on whole files.

    decoders.py EDGELLM MODEL.gguf ... --llama-quantize PATH

edgellm convert --type f32 decodes; every tensor is then compared bit by bit. The files come from llama-quantize. What the package
does not know (Q2_0, Q1_0), llama-quantize decodes.
"""
import json
import tempfile
from pathlib import Path

import numpy as np
from common import decoded, emit, parser, run

UNKNOWN = {"Q2_0", "Q1_0"}


def types_of(edgellm, model):
    return sorted({t["encoding"] for t in json.loads(run([edgellm, "info", "--json", model]))["tensors"]})


def main():
    p = parser(__doc__)
    p.add_argument("models", nargs="+")
    p.add_argument("--llama-quantize", required=True)
    a = p.parse_args()
    good = True
    for m in a.models:
        with tempfile.TemporaryDirectory() as d:
            out = Path(d, "decoded.gguf")
            run([a.edgellm, "convert", m, out, "--type", "f32"])
            types, theirs = types_of(a.edgellm, m), m
            if set(types) & UNKNOWN:
                theirs = Path(d, "theirs.gguf")
                run([a.llama_quantize, "--allow-requantize", m, theirs, "F32"])
            theirs, ours = decoded(theirs), decoded(out)
            differ = [n for n, (_, x) in theirs.items()
                      if n not in ours or x.shape != ours[n][1].shape or not np.array_equal(x.view(np.uint32), ours[n][1].view(np.uint32))]
            good &= emit(file=Path(m).name, types=" ".join(types), tensors=len(theirs), differ=len(differ),
                         example=differ[0] if differ else None, **{"pass": not differ and theirs.keys() == ours.keys()})
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
