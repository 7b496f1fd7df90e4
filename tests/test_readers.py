"""One setting chooses where features and images are read from; what follows is the same."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import yaml
from oracles.data import make_manifest, write_release
from typer.testing import CliRunner

from resdavenet_vq import config
from resdavenet_vq.__main__ import app
from resdavenet_vq.config import AudioModel, ImageModel, Model, QuantizerModel
from resdavenet_vq.errors import InputError
from resdavenet_vq.model import checkpoint
from resdavenet_vq.model.dual_encoder import DualEncoder
from resdavenet_vq.workflow.plan import Plan

REPO = Path(__file__).resolve().parents[1]
READERS = ("store", "files", "release_2020")
RESULTS = ("codes", "embeddings", "logmel")


def run(*arguments):
    done = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A split prepared, verified and encoded with each reader, by the commands that the rules give."""
    folder = tmp_path_factory.mktemp("end_to_end")
    utterances = make_manifest(folder / "corpus", 8).utterances
    rows = [
        {"uttid": u.id, "wav": u.wav.name, "speaker": u.speaker} | ({"image": u.image.name} if u.image else {})
        for u in utterances
    ]
    (folder / "corpus/all.json").write_text(json.dumps({"data": rows}))
    release = write_release(folder / "release", utterances)
    corpus = {
        "layout": "places",
        "name": "c",
        "metadata": {"all": str(folder / "corpus/all.json")},
        "release_hdf5": {"all": str(release)},
    }
    torch.manual_seed(0)
    settings = Model(
        audio=AudioModel(widths=(4, 6, 6, 8, 10), blocks_per_stage=1),
        image=ImageModel(architecture="thin_resnet", widths=(4, 4, 4, 4), crop=16, resize=20),
        quantizer=QuantizerModel(codebook_size=12, init_nonnegative=True),
    )
    checkpoint.save(folder / "model", DualEncoder(settings, (2, 3)), {})
    for reader in READERS:
        store = folder / reader / "all.h5"
        options = ["--corpus", json.dumps(corpus), "--split", "all", "--settings", json.dumps({"reader": reader})]
        run("prepare", *options, "--out", store, "--report", store.with_name("report.json"))
        run("verify", store)
        files = [word for name in RESULTS[:2] for word in (f"--{name}", folder / reader / f"{name}.h5")]
        run("encode-split", "--model", folder / "model", "--data", store, *files)
        run("encode-logmel", "--data", store, "--out", folder / reader / "logmel.h5")
    return folder


@pytest.mark.parametrize("reader", READERS[1:])
@pytest.mark.parametrize("name", RESULTS)
def test_each_reader_encodes_to_the_same(results, reader, name):
    def content(reader):
        with h5py.File(results / reader / f"{name}.h5") as f:
            found = {}
            f.visititems(lambda path, item: found.update({path: item[()]} if isinstance(item, h5py.Dataset) else {}))
            return found

    expected, found = content("store"), content(reader)
    assert expected.keys() == found.keys()
    assert len(expected) >= 4
    for path, values in expected.items():
        np.testing.assert_array_equal(found[path], values)


PLACES = yaml.safe_load((REPO / "configs/places.yaml").read_text())


def places(reader, **release):
    corpus = PLACES["corpus"] | {"release_hdf5": release}
    return PLACES | {"corpus": corpus, "preparation": {"reader": reader}}


def test_the_release_needs_its_files_named():
    with pytest.raises(
        InputError, match=r"corpus\.release_hdf5\.val: missing; preparation\.reader release_2020 needs it"
    ) as caught:
        config.read(places("release_2020", train="a.json"))
    assert "release_hdf5.train" not in str(caught.value)
    with pytest.raises(InputError, match=r"corpus\.release_hdf5: the corpus has no split 'vall'; did you mean 'val'\?"):
        config.read(places("store", vall="a.json"))
    with pytest.raises(
        InputError, match=r"preparation\.reader: must be 'store', 'files' or 'release_2020', not 'hdf5'"
    ):
        config.read(places("hdf5"))
    demo = yaml.safe_load((REPO / "config.yaml").read_text()) | {"preparation": {"reader": "release_2020"}}
    with pytest.raises(InputError, match=r"corpus\.release_hdf5\.train: missing"):
        config.read(demo)


def test_the_rule_depends_on_the_files_of_the_release_only_where_they_are_read():
    both = {"train": "t.json", "val": "v.json"}
    release, store = (Plan(config.read(places(reader, **both))) for reader in ("release_2020", "store"))
    assert release.splits.corpus_files("val")[-1] == "v.json"
    assert json.loads(release.splits.import_options("val"))["release_hdf5"] == {"val": "v.json"}
    assert "v.json" not in store.splits.corpus_files("val")
    assert store.splits.import_options("val") == Plan(config.read(places("store"))).splits.import_options("val")
