"""Files of codes and maps as `encode` writes them."""

import numpy as np
from encoded import ORIGIN

from resdavenet_vq.encode.codes import add_codes, create_codes
from resdavenet_vq.encode.embeddings import Pairs
from resdavenet_vq.encode.maps import create_maps


def codes_file(path, rows, size=8, period=0.04, layer="quant3", origin=ORIGIN, ids=None):
    """A codes file of [(codes, words or None), (codes, words, phones) or (codes, words, phones, syllables)]."""
    ids = ids or [f"u{i}" for i in range(len(rows))]
    names = ("words", "phones", "syllables")
    tiers = [dict(zip(names, (*row[1:], None)[: max(2, len(row) - 1)], strict=False)) for row in rows]
    manifest = [{"id": name} | of_one for name, of_one in zip(ids, tiers, strict=True)]
    with create_codes(path, [row["id"] for row in manifest], manifest, origin) as file:
        lengths = np.array([len(codes) for codes, *_ in rows])
        out = add_codes(file, layer, np.zeros((size, 2), np.float32), lengths, period)
        out.write_each(range(len(rows)), [np.array(codes, np.int32) for codes, *_ in rows])
    return path


def maps_file(path, cells, frames, image_index, ids=None, image_ids=None, *, image_branch=True, origin=ORIGIN):
    """A maps file of images (I, H, W, D) and captions, a list of (T, D)."""
    ids = ids or [f"u{j}" for j in range(len(frames))]
    image_ids = image_ids or [f"i{i}.png" for i in range(len(cells))]
    pairs = Pairs(ids, image_ids, np.asarray(image_index), image_branch)
    lengths = np.array([*map(len, frames)])
    with create_maps(path, pairs, lengths, np.shape(frames[0])[1], 0.16, origin) as file:
        file.frames.write_each(range(len(frames)), frames)
        for j, some in enumerate(cells):
            file.write_cells(j, np.asarray(some))
    return path
