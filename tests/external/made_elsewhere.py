"""A prepared split, and what is imported into it."""

import json
from types import SimpleNamespace

import numpy as np
from oracles.data import make_manifest, prepared

from resdavenet_vq.config.references import External
from resdavenet_vq.external.importing import import_units

NAMES = tuple(f"utt-{i}" for i in range(4))


def split_of(folder):
    """A store of four utterances of half a second and more; two have aligned words."""
    return prepared(make_manifest(folder / "media", n=len(NAMES), seconds=0.5), folder, "test")


def frames_of(store, period, seed=0):
    """Codes from 0 to 6 of each utterance, about as many as its audio has frames; all codes occur."""
    rng = np.random.default_rng(seed)
    lengths = (store.n_samples / 16000 / period).astype(int).tolist()
    codes = {name: np.repeat(rng.integers(0, 7, n), 2)[:n].tolist() for name, n in zip(NAMES, lengths, strict=True)}
    codes[NAMES[0]][:7] = range(7)
    return codes


def imported(store, folder, files, *, codes=True, features=True, others=None, limit=0, name="elsewhere", **settings):
    """The codes file, the features file and the report of an import."""
    paths = {"test": str(files)} | {split: str(path) for split, path in (others or {}).items()}
    out = folder / "out"
    made = SimpleNamespace(codes=out / "test.h5", features=out / "features/test.h5")
    values = {key: value if isinstance(value, (float, int)) else str(value) for key, value in settings.items()}
    external = External.from_json(json.dumps({"files": paths} | values))
    wanted = {"codes": made.codes if codes else None, "features": made.features if features else None}
    import_units(name, store.path, "test", external, out / "report.json", limit=limit, **wanted)
    made.report = json.loads((out / "report.json").read_text())
    return made
