#!/usr/bin/env python3
"""stories260K: the two published numbers, from each of its files, and bits per byte.

    stories.py EDGELLM STORIES_FOLDER TINYSTORIES_FOLDER

STORIES_FOLDER has stories260K.bin, checkpoint_v1.bin, stories260K.gguf and tok512.bin; TINYSTORIES_FOLDER tinystories_sample.txt and
tinystories_1000.json. The second text is the first 150 stories of the JSON that are all ASCII, runs of white space collapsed.
"""
import json
import tempfile
from pathlib import Path

from common import emit, parser, run

EXPECT = {"sample": (1.2664, 1804, None), "150 stories": (1.4941, 57541, 1.0628)}


def main():
    p = parser(__doc__)
    p.add_argument("model", type=Path)
    p.add_argument("texts", type=Path)
    a = p.parse_args()
    stories = [" ".join(s.split()) for s in json.loads((a.texts / "tinystories_1000.json").read_text()) if s.isascii()][:150]
    good = True
    with tempfile.TemporaryDirectory() as d:
        many = Path(d, "stories.json")
        many.write_text(json.dumps(stories))
        for what, text, more in (("sample", a.texts / "tinystories_sample.txt", ["--separator", "<|endoftext|>"]),
                                 ("150 stories", many, [])):
            nll, tokens, bits = EXPECT[what]
            for name in ("stories260K.bin", "checkpoint_v1.bin", "stories260K.gguf"):
                args = [a.edgellm, "eval", "ppl", "-m", a.model / name, "-f", text, "--protocol", "documents", "--ctx", 512,
                        "-ctk", "f32", "-ctv", "f32", "--json", *more]
                if not name.endswith(".gguf"):
                    args += ["--tokenizer", a.model / "tok512.bin"]
                r = json.loads(run(args))
                ok = f"{r['nll']:.4f}" == f"{nll:.4f}" and r["n_tokens"] == tokens
                ok &= bits is None or f"{r['bits_per_byte']:.4f}" == f"{bits:.4f}"
                good &= emit(file=name, text=what, nll=r["nll"], expected_nll=nll, n_tokens=r["n_tokens"], expected_tokens=tokens,
                             bits_per_byte=r["bits_per_byte"], expected_bits_per_byte=bits, **{"pass": ok})
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
