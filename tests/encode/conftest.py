"""A folder of recordings, a store of them, models, and the files that the workflow's commands write from them."""

import os

import numpy as np
import pytest
import soundfile
from encode.recordings import LAYERS, LENGTHS, model_of
from oracles.data import prepared, utterance

from resdavenet_vq.corpus.manifest import Manifest
from resdavenet_vq.encode import split
from resdavenet_vq.model import checkpoint


@pytest.fixture
def latin_wav(tmp_path):
    """An empty recording whose name is no UTF-8, alone in the folder `wavs`."""
    path = tmp_path / "wavs" / os.fsdecode(b"caf\xe9.wav")
    path.parent.mkdir()
    try:
        path.touch()
    except OSError:
        pytest.skip("this disk has names in UTF-8 only")
    return path


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A tree of wavs, a store of them, and models with and without quantizers."""
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    for name, n in LENGTHS.items():
        path = folder / "wavs" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        loudness = np.interp(np.arange(n), np.linspace(0, n, 40), rng.uniform(0.001, 0.4, 40))
        soundfile.write(path, (rng.normal(size=n) * loudness).clip(-1, 1), 16000)
    utterances = [utterance(name, folder / "wavs" / f"{name}.wav") for name in LENGTHS]
    prepared(Manifest(utterances), folder, "split")
    checkpoint.save(folder / "model", model_of((2, 3)), {"lineage": "{}->{2,3}"})
    checkpoint.save(folder / "normalized", model_of((2, 3), "normalized"), {"lineage": "{}->{2,3}"})
    checkpoint.save(folder / "none", model_of(()), {})
    return folder


@pytest.fixture(scope="session")
def workflows(folder):
    """What `encode-split` writes of the same recordings."""
    split.encode(
        folder / "model", folder / "split.h5", codes=folder / "c.h5", features=folder / "f.h5", feature_layers=LAYERS
    )
    return folder / "c.h5", folder / "f.h5"
