"""Codes files as `encode` writes them."""

import json

import h5py
import numpy as np


def codes_file(path, rows, size=8, period=0.04, layer="quant3"):
    """A codes file of [(codes, words or None) or (codes, words, phones)]."""
    rows = [(*row, None)[:3] for row in rows]
    with h5py.File(path, "w") as f:
        f["manifest"] = [json.dumps({"id": f"u{i}", "words": w, "phones": p}) for i, (_, w, p) in enumerate(rows)]
        group = f.create_group(layer)
        group["codes"] = np.concatenate([np.array(codes, np.int32) for codes, *_ in rows])
        group["offsets"] = np.cumsum([0, *(len(codes) for codes, *_ in rows)])
        group["codebook"] = np.zeros((size, 2), np.float32)
        group.attrs["frame_period"] = period
    return path
