#!/usr/bin/env python3
"""Every fixture, converted by edgellm to GGUF, run in llama.cpp: logits and token ids against transformers' and ours.

    fixtures.py EDGELLM ORACLE LLAMA_TOKENIZE FIXTURES_FOLDER TEXT [NAME ...]

ORACLE: see all.sh; for the GELU models take one linked to a ggml whose GELU is exact (it goes through a float16 table else).
"""
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from common import divergence, emit, our_logits, parser, peer_logits, run
from safetensors.numpy import load_file

BAR = 1e-5


def main():
    p = parser(__doc__)
    p.add_argument("oracle")
    p.add_argument("llama_tokenize")
    p.add_argument("fixtures", type=Path)
    p.add_argument("text", type=Path)
    p.add_argument("names", nargs="*")
    a = p.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as d:
        text = Path(d, "text.txt")
        text.write_bytes(a.text.read_bytes()[:20000].decode(errors="ignore").encode())
        for folder in sorted(f.parent for f in a.fixtures.glob("*/config.json")):
            name = folder.name
            if a.names and name not in a.names:
                continue
            gguf = Path(d, name + ".gguf")
            run([a.edgellm, "convert", folder, gguf, "--type", "f32"])
            # The sharded fixture holds the weights of `llama`.
            ref = folder if (folder / "logits.safetensors").exists() else a.fixtures / "llama"
            want = load_file(ref / "logits.safetensors")["logits"]
            row = {"fixture": name}
            for kind, model in (("folder", folder), ("gguf", gguf)):
                got = our_logits(a.edgellm, model, ref / "ids.txt", 0)
                row[f"{kind}_max_relative"] = float(np.abs(got - want).max() / np.abs(want).max())
            note = json.loads((folder / "note.json").read_text()) if (folder / "note.json").exists() else {}
            skipped = note.get("gguf", {}).get("skipped")
            ok = max(row["folder_max_relative"], row["gguf_max_relative"]) < 1e-4
            if skipped and "same weights" not in skipped:
                row["llama_cpp"] = "lacks the variant"
            else:
                theirs = peer_logits(a.oracle, gguf, ref / "ids.txt", 0)
                row["llama_cpp_mean_kld"] = divergence(want, theirs)["mean_kld"]
                ids = run([a.edgellm, "tokenize", "-m", gguf, "-f", text]).split()
                r = subprocess.run([a.llama_tokenize, "-m", gguf, "-f", text, "--ids", "--no-bos", "--no-parse-special"],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
                row["ids"] = len(ids)
                row["ids_equal"] = [int(i) for i in ids] == json.loads(r.stdout)
                ok &= row["llama_cpp_mean_kld"] < BAR and row["ids_equal"]
            good &= emit(**row, bar=BAR, **{"pass": ok})
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
