"""Files of codes and maps as `encode` writes them."""

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


def maps_file(path, cells, frames, image_index, ids=None, image_ids=None):
    """A maps file of images (I, H, W, D) and captions, a list of (T, D)."""
    with h5py.File(path, "w") as f:
        f.attrs.update(frame_period=0.16, image_branch=True)
        f["ids"] = ids or [f"u{j}" for j in range(len(frames))]
        f["image_ids"] = np.array(image_ids or [f"i{i}.png" for i in range(len(cells))], h5py.string_dtype())
        f["cells"] = np.asarray(cells, np.float32)
        f["frames"] = np.concatenate(frames).astype(np.float32)
        f["offsets"] = np.cumsum([0, *map(len, frames)])
        f["image_index"] = np.asarray(image_index, np.int64)
    return path
