#!/usr/bin/env python3
"""Texts written under grammars and JSON schemas: none may be invalid, and none that is cut short may have a wrong beginning.

    grammars.py EDGELLM MODEL.gguf TESTS_DATA_GRAMMAR [--samples 1000] [--library LIBEDGELLM]

Samples are spread over the 6 grammars and 20 schemas of tests/data/grammar, temperatures from 0 to 2, with the usual samplers and
with none, each with a seed of its own. Every sample is written twice: up to --tokens, and again with the same seed and a limit of
0 to 60 tokens. A text that the model ended is judged by the readers of scripts/fixtures/make_grammar_cases.py and by jsonschema,
which know nothing of our grammars. A text that its limit ended must be, byte for byte, the beginning of what the same seed wrote
with more room; and for those that never ended, el_grammar_accepts says whether it begins something allowed (bytes against rules, no
vocabulary and no masks). Prints one row for every grammar and one for all.
"""
import ctypes
import json
import random
import subprocess
import sys
from pathlib import Path

import jsonschema
from common import emit, parser

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "fixtures"))
import make_grammar_cases as cases  # noqa: E402

TEMPERATURES = (0, 0.3, 0.7, 1, 1.5, 2)
NO_SAMPLERS = {"top_k": 0, "top_p": 1, "min_p": 0}


class Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("text", ctypes.c_char * 512), ("reason", ctypes.c_int)]


class Grammar:
    """A grammar of the library, without a vocabulary."""

    def __init__(self, library, text, is_schema):
        self.library, self.error, self.handle = library, Error(), ctypes.c_void_p()
        make = library.el_grammar_from_json_schema if is_schema else library.el_grammar_parse
        text = text.encode()
        if make(text, ctypes.c_size_t(len(text)), None, None, ctypes.byref(self.handle), ctypes.byref(self.error)):
            raise SystemExit(self.error.text.decode())

    def begins(self, data):
        """(data is in the grammar, data begins something in the grammar)."""
        accepts, n = ctypes.c_bool(), ctypes.c_size_t()
        if self.library.el_grammar_accepts(self.handle, data, ctypes.c_size_t(len(data)), ctypes.byref(accepts), ctypes.byref(n),
                                           ctypes.byref(self.error)):
            raise SystemExit(self.error.text.decode())
        return accepts.value, n.value == len(data)


def load(folder):
    """name -> (member of a line of JSONL, its text, judge)."""
    out = {}
    for name, reader in cases.READERS.items():
        out[name] = ("grammar", (folder / f"{name}.gbnf").read_text(), reader)
    for case in json.loads((folder / "schemas.json").read_text())["cases"]:
        check = jsonschema.Draft202012Validator(case["schema"], format_checker=jsonschema.FormatChecker())

        def reader(text, check=check):
            return check.is_valid(json.loads(text, parse_constant=cases.refuse_constant))

        out[f"schema {case['name']}"] = ("json_schema", json.dumps(case["schema"]), reader)
    return out


def text_of(row):
    """The bytes of the tokens; the first token's space is not part of a text."""
    data = b"".join(bytes(t["bytes"]) for t in row["logprobs"])
    if not data.decode(errors="replace").startswith(row["text"][:1]) and data[:1] == b" ":
        data = data[1:]
    return data


def write(edgellm, model, lines):
    args = [edgellm, "run", "-m", model, "--jsonl", "-", "--logprobs", "0", "-c", "0"]
    r = subprocess.run([str(a) for a in args], input="".join(json.dumps(x) + "\n" for x in lines).encode(), stdout=subprocess.PIPE,
                       check=True)
    return [json.loads(x) for x in r.stdout.splitlines()]


def main():
    p = parser(__doc__)
    p.add_argument("model", type=Path)
    p.add_argument("folder", type=Path)
    p.add_argument("--samples", type=int, default=1000)
    p.add_argument("--tokens", type=int, default=400)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--library", type=Path)
    a = p.parse_args()
    library = ctypes.CDLL(str((a.library or Path(a.edgellm).with_name("libedgellm.so")).resolve()))
    rng = random.Random(a.seed)
    all_of_them = load(a.folder)
    names = [name for i in range(a.samples) for name in [list(all_of_them)[i % len(all_of_them)]]]
    lines = []
    for i, name in enumerate(names):
        key, text, _ = all_of_them[name]
        line = {"prompt": rng.choice(["", "Once upon a time", "Lily said: "]), key: text, "seed": a.seed * 1000000 + i,
                "temp": rng.choice(TEMPERATURES), **rng.choice([NO_SAMPLERS, {}, {"mirostat": 2}])}
        lines += [{**line, "n_predict": a.tokens}, {**line, "n_predict": rng.choice([0, 1, 2, 3, 5, 8, 13, 21, 40, 60])}]
    rows = write(a.edgellm, a.model, lines)
    total = {"samples": 0, "ended": 0, "cut": 0, "tokens": 0, "invalid": 0}
    for name, (key, text, reader) in all_of_them.items():
        grammar = Grammar(library, text, key == "json_schema")
        n = dict.fromkeys(total, 0)
        for i in (i for i, x in enumerate(names) if x == name):
            longer, shorter = rows[2 * i], rows[2 * i + 1]
            data = text_of(longer)
            accepts, begins = grammar.begins(data)
            good = begins and data.startswith(text_of(shorter))
            if longer["stop_reason"] == "eog":
                good &= accepts and cases.judge(reader, longer["text"])
            if shorter["stop_reason"] == "eog":
                good &= cases.judge(reader, shorter["text"])
            if not good:
                print(f"{name}: {lines[2 * i]}: {longer['text']!r} and {shorter['text']!r}", file=sys.stderr)
            n["samples"] += 1
            n["ended"] += longer["stop_reason"] == "eog"
            n["cut"] += (longer["stop_reason"] != "eog") + (shorter["stop_reason"] != "eog")
            n["tokens"] += longer["n_predict"] + shorter["n_predict"]
            n["invalid"] += not good
        emit(grammar=name, **n)
        total = {k: v + n[k] for k, v in total.items()}
    return 0 if emit(grammar="all", **total, **{"pass": total["invalid"] == 0 and total["samples"] == a.samples}) else 1


if __name__ == "__main__":
    raise SystemExit(main())
