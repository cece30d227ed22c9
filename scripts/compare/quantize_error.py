#!/usr/bin/env python3
"""Quantization errors of edgellm and llama-quantize, tensor by tensor.

    quantize_error.py EDGELLM LLAMA_QUANTIZE MODEL-F32.gguf TYPE ... [--model-name NAME] [--per-tensor]

Both programs quantize with --pure: embedding and output alike. The error of a tensor is the sum of (w - w')^2 over the sum of w^2 in
float64, decoded by the Python package gguf, or where that does not know the type (UNKNOWN), by edgellm. Exit status 1 when one of ours is above llama-quantize's.
"""
import tempfile
from pathlib import Path

import numpy as np

from common import decoded, emit, parser, run

FLOATS = ("F32", "F16", "BF16")
# llama-quantize takes names of mixes; --pure makes them uniform
MIX_OF = {"Q3_K": "Q3_K_S", "Q4_K": "Q4_K_S", "Q5_K": "Q5_K_S", "MXFP4": "MXFP4_MOE"}

UNKNOWN = ("Q2_0", "Q1_0")


def error(w, other):
    """Sums of (w - other)^2 and of w^2."""
    w = w.astype(np.float64)
    return float(((w - other) ** 2).sum()), float((w * w).sum())


def weights(a, path, type_name, source):
    """Like decoded(). Of a type that gguf does not know: what edgellm decodes, under that name unless it is the source's own."""
    if type_name not in UNKNOWN:
        return decoded(path)
    f32 = path.with_suffix(".f32.gguf")
    run([a.edgellm, "convert", path, f32, "--type", "f32"])
    return {n: ("F32" if np.array_equal(w.ravel(), source[n][1].ravel()) else type_name, w) for n, (_, w) in decoded(f32).items()}


def compare(a, source, type_name, folder):
    ours, peer = Path(folder, f"ours-{type_name}.gguf"), Path(folder, f"peer-{type_name}.gguf")
    run([a.edgellm, "quantize", "--pure", a.model, ours, type_name])
    run([a.llama_quantize, "--pure", a.model, peer, MIX_OF.get(type_name, type_name)])
    x, y = (weights(a, path, type_name, source) for path in (ours, peer))
    ratios, above, total = {}, [], np.zeros(3)
    for name, (_, w) in source.items():
        if x[name][0] in FLOATS and y[name][0] in FLOATS:
            continue
        (ex, energy), (ey, _) = error(w, x[name][1].reshape(w.shape)), error(w, y[name][1].reshape(w.shape))
        total += ex, ey, energy
        ratios[name] = ex / ey if ey else float(ex > 0)
        if not ex <= ey or x[name][0] != y[name][0]:
            above.append(name)
        if a.per_tensor:
            emit(model=a.model_name, type=type_name, tensor=name, ours=ex / energy, llama_quantize=ey / energy, **{"pass": ex <= ey})
    return emit(model=a.model_name, type=type_name, tensors=len(ratios), ours=total[0] / total[2], llama_quantize=total[1] / total[2],
                mean_ratio=float(np.mean(list(ratios.values()))), largest_ratio=max(ratios.values()), above=" ".join(above),
                **{"pass": not above and bool(ratios)})


def main():
    p = parser(__doc__)
    p.add_argument("llama_quantize")
    p.add_argument("model")
    p.add_argument("types", nargs="+")
    p.add_argument("--model-name", default="books-4m")
    p.add_argument("--per-tensor", action="store_true", help="one line per tensor, too")
    a = p.parse_args()
    source, good = decoded(a.model), True
    with tempfile.TemporaryDirectory() as folder:
        for type_name in a.types:
            good &= compare(a, source, type_name, folder)
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
