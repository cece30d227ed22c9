#!/usr/bin/env python3
"""Logits of edgellm against stored reference arrays (float32, from torch).

    reference.py EDGELLM REFERENCE_FOLDER MODEL ... [--bar 1e-3]

REFERENCE_FOLDER has index.json, promptN_ids.npy and promptN_logits.npy. Weights as stored, activations and KV in float32.
"""
import tempfile
from pathlib import Path

import numpy as np
from common import emit, our_logits, parser


def main():
    p = parser(__doc__)
    p.add_argument("reference", type=Path)
    p.add_argument("models", nargs="+")
    p.add_argument("--bar", type=float, default=1e-3)
    p.add_argument("--model-name", default="books-4m")
    a = p.parse_args()
    good = True
    for m in a.models:
        worst, n = 0.0, 0
        for ids_file in sorted(a.reference.glob("prompt*_ids.npy")):
            want = np.load(ids_file.with_name(ids_file.name.replace("_ids", "_logits")))
            with tempfile.NamedTemporaryFile("w", suffix=".txt") as t:
                t.write(" ".join(map(str, np.load(ids_file).tolist())))
                t.flush()
                got = our_logits(a.edgellm, m, t.name, 0)
            worst = max(worst, float(np.abs(got - want).max()))
            n += len(want)
        good &= emit(model=a.model_name, source=Path(m).name, positions=n, max_abs_diff=worst, bar=a.bar, **{"pass": n > 0 and worst < a.bar})
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
