"""Small files of the four formats, to be damaged."""

import json

import numpy as np
from encoded import ORIGIN, changed
from evaluation.abx.synthetic import write_features
from evaluation.made_up import codes_file, maps_file
from evaluation.test_retrieval_files import embeddings_file
from oracles.data import utterance

WORDS = ((0.0, 0.1, "A"), (0.1, 0.2, "B"))


def sound_files(folder):
    """By kind."""
    rng = np.random.default_rng(0)
    codes = codes_file(folder / "codes.h5", [(rng.integers(0, 8, 6), WORDS, WORDS) for _ in range(4)])
    with changed(codes) as file:
        file["manifest"][:] = [json.dumps(utterance(f"u{i}", words=WORDS).to_dict()) for i in range(4)]
    vectors = {f"u{i}": rng.normal(size=(5, 3)).astype(np.float32) for i in range(4)}
    features = write_features(folder / "features.h5", "conv2", vectors, 0.02, origin=ORIGIN)
    embeddings = embeddings_file(folder / "embeddings.h5", np.eye(3), np.eye(3), range(3))
    maps = maps_file(folder / "maps.h5", rng.normal(size=(3, 2, 2, 4)), [rng.normal(size=(3, 4))] * 3, range(3))
    return {"codes": codes, "features": features, "embeddings": embeddings, "maps": maps}
