#!/usr/bin/env python3
"""Conversions of one Hugging Face folder, checked by other people's readers.

    roundtrips.py EDGELLM ORACLE FOLDER [--gguf PEER.gguf] [--ids IDS] [--window 512]

  1. folder -> GGUF -> folder (--type copy): the same tensors bit by bit (safetensors), the same model in config.json, the same tokenizer.json.
  2. folder -> sharded folder: opens in transformers, its logits equal those of FOLDER.
  3. our GGUF against PEER.gguf (llama.cpp's converter): tensor by tensor, and what the metadata says differently.
  4. folder -> split GGUF: opens in llama.cpp, its logits equal those of the single file.
"""
import json
import tempfile
from pathlib import Path

import numpy as np
from common import emit, parser, peer_logits, run
from safetensors import safe_open

# What GGUF has no key for: values of training, defaults that say "none", the writer's version.
CONFIG_IGNORED = {"transformers_version", "_name_or_path", "use_cache", "attention_bias", "attention_dropout", "initializer_range",
                  "output_router_logits", "router_aux_loss_coef"}


def load(folder):
    import torch  # noqa: F401  bfloat16 needs it
    out = {}
    for f in sorted(Path(folder).glob("*.safetensors")):
        with safe_open(f, "pt") as s:
            for k in s.keys():
                out[k] = s.get_tensor(k)
    return out


def same_tensors(a, b):
    import torch
    differ = [k for k in a if k not in b or a[k].dtype != b[k].dtype or not torch.equal(a[k], b[k])]
    return differ + [k for k in b if k not in a]


def hf_logits(folder, ids):
    import torch
    from transformers import AutoModelForCausalLM
    m = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        return m(torch.tensor([ids])).logits[0].numpy()


def metadata(path):
    import gguf
    out = {}
    for name, field in gguf.GGUFReader(path).fields.items():
        value = field.contents()
        if not name.startswith("GGUF."):
            out[name] = value
    return out


def config_differs(a, b):
    a, b = (json.loads(Path(f, "config.json").read_text()) for f in (a, b))
    return sorted(k for k in a.keys() | b.keys() if k not in CONFIG_IGNORED and a.get(k) != b.get(k))


def main():
    p = parser(__doc__)
    p.add_argument("oracle")
    p.add_argument("folder", type=Path)
    p.add_argument("--gguf")
    p.add_argument("--ids", type=Path)
    p.add_argument("--window", type=int, default=512)
    p.add_argument("--shard-size", default="2M")
    a = p.parse_args()
    name, good = a.folder.name, True
    with tempfile.TemporaryDirectory() as d:
        d = Path(d)
        gguf, back, shards, split = d / "one.gguf", d / "back", d / "shards", d / "split.gguf"
        run([a.edgellm, "convert", a.folder, gguf, "--type", "copy"])
        run([a.edgellm, "convert", gguf, back, "--to", "hf", "--type", "copy"])
        plain = d / "plain.gguf"
        run([a.edgellm, "convert", a.folder, plain])
        differ = same_tensors(load(a.folder), load(back))
        config = config_differs(a.folder, back)
        tok = (a.folder / "tokenizer.json").read_bytes() == (back / "tokenizer.json").read_bytes()
        good &= emit(model=name, trip="folder -> GGUF -> folder", differ=len(differ), example=differ[0] if differ else None,
                     config_differs=" ".join(config), tokenizer_equal=tok, **{"pass": not differ and not config and tok})

        run([a.edgellm, "convert", a.folder, shards, "--to", "hf", "--split-max-size", a.shard_size])
        n = len(list(shards.glob("*.safetensors")))
        ids = [int(i) for i in a.ids.read_text().split()][:64] if a.ids else list(range(1, 33))
        x, y = hf_logits(a.folder, ids), hf_logits(shards, ids)
        good &= emit(model=name, trip="folder -> shards -> transformers", shards=n, max_abs_diff=float(np.abs(x - y).max()),
                     **{"pass": n > 1 and bool(np.array_equal(x, y))})

        if a.gguf:
            import gguf as g
            theirs = {t.name: t for t in g.GGUFReader(a.gguf).tensors}
            same_type = d / "same.gguf"
            kinds = {t.tensor_type.name for t in theirs.values()}
            run([a.edgellm, "convert", a.folder, same_type, "--type", "f16" if "F16" in kinds else "f32"])
            ours = {t.name: t for t in g.GGUFReader(same_type).tensors}
            differ = [k for k in theirs if k not in ours or ours[k].tensor_type != theirs[k].tensor_type
                      or list(ours[k].shape) != list(theirs[k].shape) or ours[k].data.tobytes() != theirs[k].data.tobytes()]
            differ += [k for k in ours if k not in theirs]
            x, y = metadata(a.gguf), metadata(same_type)
            lacking = sorted(x.keys() - y.keys())
            changed = sorted(k for k in x.keys() & y.keys() if x[k] != y[k])
            good &= emit(model=name, trip="our GGUF = llama.cpp's", tensors=len(theirs), differ=len(differ),
                         example=differ[0] if differ else None, keys_lacking=" ".join(lacking), keys_changed=" ".join(changed),
                         keys_added=" ".join(sorted(y.keys() - x.keys())), **{"pass": not differ})

        run([a.edgellm, "convert", a.folder, split, "--to", "gguf", "--split-max-size", a.shard_size])
        parts = sorted(d.glob("split*.gguf"))
        ids_file = d / "ids.txt"
        ids_file.write_text(" ".join(map(str, ids)))
        x, y = (peer_logits(a.oracle, f, ids_file, a.window) for f in (plain, parts[0]))
        good &= emit(model=name, trip="split GGUF -> llama.cpp", shards=len(parts), max_abs_diff=float(np.abs(x - y).max()),
                     **{"pass": len(parts) > 1 and bool(np.array_equal(x, y))})
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
