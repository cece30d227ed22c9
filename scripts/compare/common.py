"""What the comparison scripts share. Every script prints one JSON object a line to stdout, fit for scripts/results/*.jsonl."""
import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

# Bars of the acceptance test: perplexity against llama.cpp on the same file in percent, mean KLD, by what the file stores.
BARS = {"F32": (0.02, 1e-4), "F16": (0.1, 1e-4), "BF16": (0.1, 1e-4), "quantized": (0.3, 1e-3)}
LEAD = 0.1


def bars(name):
    return BARS.get(name.split("-")[0].upper(), BARS["quantized"])


def parser(doc):
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("edgellm", help="path of the edgellm binary")
    return p


def run(args, **kw):
    """Runs a program; its stdout as text. What it said goes to stderr when it fails."""
    args = [str(a) for a in args]
    r = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw)
    if r.returncode:
        sys.stderr.write(r.stderr.decode(errors="replace"))
        raise SystemExit(f"{' '.join(args)}: exit status {r.returncode}")
    return r.stdout.decode()


def shown(args):
    """A command line as a reader would type it: base names instead of this machine's paths."""
    return " ".join(os.path.basename(str(a)) if "/" in str(a) else str(a) for a in args)


def emit(**row):
    print(json.dumps(row), flush=True)
    return row.get("pass", True)


def log_softmax(x):
    x = x.astype(np.float64)
    m = x.max(-1, keepdims=True)
    return x - m - np.log(np.exp(x - m).sum(-1, keepdims=True))


def divergence(peer, ours):
    """KLD(peer || ours) in nats over positions [n, vocab], and how the choices differ where the peer is sure."""
    a, b = log_softmax(peer), log_softmax(ours)
    kld = (np.exp(a) * (a - b)).sum(-1)
    two = np.partition(peer, -2, axis=-1)[:, -2:]
    lead = two[:, 1] - two[:, 0]
    differ = peer.argmax(-1) != ours.argmax(-1)
    return {"positions": len(kld), "mean_kld": float(kld.mean()), "max_kld": float(kld.max()),
            "max_abs_diff": float(np.abs(peer - ours).max()), "max_abs_logit": float(np.abs(peer).max()),
            "same_top_percent": float(100 * (1 - differ.mean())),
            "top_differs_where_sure": int((differ & (lead > LEAD)).sum()),
            "largest_lead_lost": float(lead[differ].max()) if differ.any() else 0.0}


def peer_logits(oracle, model, ids, window, kv="f32"):
    with tempfile.NamedTemporaryFile() as t:
        n, v = map(int, run([oracle, model, ids, t.name, f"window={window}", f"kv={kv}"]).split())
        return np.fromfile(t.name, np.float32).reshape(n, v)


def our_logits(edgellm, model, ids, window, kv="f32", env=None):
    from safetensors.numpy import load_file
    with tempfile.TemporaryDirectory() as d:
        out = Path(d, "logits.safetensors")
        args = [edgellm, "eval", "logits", "-m", model, "--tokens", ids, "-o", out, "-ctk", kv, "-ctv", kv]
        if window:
            args += ["--window", window]
        run(args, env={**os.environ, **env} if env else None)
        arrays = load_file(out)
        return np.ascontiguousarray(arrays["logits"], np.float32)


def decoded(path):
    """Tensors of a GGUF file, decoded by the Python package gguf: {name: (type, float32 array)}."""
    import gguf
    out = {}
    for t in gguf.GGUFReader(path).tensors:
        out[t.name] = (t.tensor_type.name, gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32))
    return out
