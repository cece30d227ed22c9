#!/usr/bin/env python3
"""TQ1_0 and TQ2_0: the bytes that edgellm and llama-quantize write, tensor by tensor.

    ternary.py EDGELLM LLAMA_QUANTIZE MODEL-F32.gguf [--model-name NAME]

On the model as it is, and on a copy whose weights were made ternary (one scale a row, as BitNet-like training leaves them). Both
programs quantize with --pure.
"""
import shutil
import tempfile
from pathlib import Path

import gguf
import numpy as np
from common import emit, parser, run


def make_ternary(path):
    """Every matrix of an F32 file, in place: sign(w) times the mean of |w| of its row where |w| is above half of that mean."""
    for t in gguf.GGUFReader(path, "r+").tensors:
        if t.tensor_type == gguf.GGMLQuantizationType.F32 and len(t.shape) > 1:
            size = np.abs(t.data).mean(-1, keepdims=True)
            t.data[:] = np.where(np.abs(t.data) > size / 2, np.copysign(size, t.data), 0)


def stored(path):
    return {t.name: (t.tensor_type.name, t.data.tobytes()) for t in gguf.GGUFReader(path).tensors}


def compare(a, model, weights, type_name, folder):
    ours, peer = Path(folder, "ours.gguf"), Path(folder, "peer.gguf")
    run([a.edgellm, "quantize", "--force", "--pure", model, ours, type_name])
    run([a.llama_quantize, "--pure", model, peer, type_name])
    x, y = stored(ours), stored(peer)
    made = [n for n in y if y[n][0] == type_name]
    differ = [n for n in y if x.get(n) != y[n]]
    return emit(model=a.model_name, weights=weights, type=type_name, tensors=len(made), differ=len(differ),
                example=differ[0] if differ else None, **{"pass": bool(made) and not differ and x.keys() == y.keys()})


def main():
    p = parser(__doc__)
    p.add_argument("llama_quantize")
    p.add_argument("model")
    p.add_argument("--model-name", default="books-4m")
    a = p.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as folder:
        ternary = Path(folder, "ternary.gguf")
        shutil.copy(a.model, ternary)
        make_ternary(ternary)
        for type_name in ("TQ1_0", "TQ2_0"):
            good &= compare(a, a.model, "as they are", type_name, folder)
            good &= compare(a, ternary, "ternary", type_name, folder)
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
