#!/usr/bin/env python3
"""Logits of edgellm against llama.cpp's on the same files, teacher-forced.

    divergence.py EDGELLM ORACLE IDS NAME=MODEL.gguf ... [--window 512] [--kv f32]

ORACLE: see all.sh. IDS: text, one id after the other. NAME says what the file stores (F32, F16, else: quantized).
"""
from common import bars, divergence, emit, our_logits, parser, peer_logits


def main():
    p = parser(__doc__)
    p.add_argument("oracle")
    p.add_argument("ids")
    p.add_argument("models", nargs="+")
    p.add_argument("--window", type=int, default=512)
    p.add_argument("--kv", default="f32")
    p.add_argument("--model-name", default="books-4m")
    p.add_argument("--bar", type=float, help="mean KLD allowed, instead of the bar of the type")
    a = p.parse_args()
    good = True
    for spec in a.models:
        name, path = spec.split("=", 1)
        d = divergence(peer_logits(a.oracle, path, a.ids, a.window, a.kv), our_logits(a.edgellm, path, a.ids, a.window, a.kv))
        bar = a.bar or bars(name)[1]
        good &= emit(model=a.model_name, file=name, kv=a.kv, window=a.window, **d, bar=bar,
                     **{"pass": d["mean_kld"] < bar and d["top_differs_where_sure"] == 0})
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
