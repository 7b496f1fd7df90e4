"""Scores of the matchmap: against the release's numbers, plain loops, and what must hold of any of them."""

import json
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import oracles.evaluation as oracle_evaluation
import oracles.training as oracle_training
import pytest
from encoded import changed
from evaluation.made_up import codes_file, maps_file
from hypothesis import given, settings
from hypothesis import strategies as st

from resdavenet_vq import config
from resdavenet_vq.encode.maps import MapsFile
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation import bootstrap, matchmap, retrieval

GOLDEN = Path(__file__).parents[1] / "golden/losses/expected.npz"
KINDS = ("sisa", "misa", "sima")


def slow(cells, frames, kind):
    """S (I, N) by the plain loops of the training's oracle."""
    longest = max(map(len, frames))
    padded = np.stack([np.pad(rows, ((0, longest - len(rows)), (0, 0)), constant_values=99.0) for rows in frames])
    n_frames = np.array([len(rows) for rows in frames])
    cells, padded = np.asarray(cells).transpose(0, 3, 1, 2), padded.transpose(0, 2, 1)
    return oracle_training.matchmap_similarity(cells, padded, n_frames, kind.upper())


@pytest.mark.parametrize("kind", KINDS)
def test_the_golden_similarities(kind):
    golden = np.load(GOLDEN)
    frames = [rows.T[: max(1, n)] for rows, n in zip(golden["audio"].squeeze(2), golden["n_frames"], strict=True)]
    cells = golden["image"].transpose(0, 2, 3, 1).reshape(len(golden["image"]), -1, golden["image"].shape[1])
    first = np.cumsum([0, *map(len, frames[:-1])])
    found = matchmap.similarities(cells, np.concatenate(frames), first, kind)
    np.testing.assert_allclose(found, golden[f"matchmap.{kind.upper()}"], rtol=1e-4, atol=1e-5)


@st.composite
def problems(draw):
    """Small whole-number vectors, so that scores tie; one to three captions an image, and some that show none.

    There are 1, 2 or 4 cells and frames: their means are exact, so that a tie is one in any order of the sums.
    """
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    n_images, height, width, dim = (draw(st.integers(1, most)) for most in (5, 2, 2, 3))
    index = rng.permutation([*range(n_images), *rng.integers(-1, n_images, draw(st.integers(0, 6)))])
    cells = rng.integers(-2, 3, (n_images, height, width, dim)).astype(float)
    frames = [rng.integers(-2, 3, (rng.choice([1, 2, 4]), dim)).astype(float) for _ in index]
    return cells, frames, index


@pytest.mark.parametrize("kind", KINDS)
@given(problem=problems(), at_once=st.tuples(st.integers(1, 20), st.integers(1, 12)), k=st.integers(1, 6))
@settings(max_examples=40)
def test_the_oracle_agrees_with_ties_several_captions_and_in_any_blocks(tmp_path_factory, kind, problem, at_once, k):
    cells, frames, index = problem
    path = maps_file(tmp_path_factory.mktemp("maps") / "a.h5", cells, frames, index)
    S = slow(cells, frames, kind)[:, index >= 0].astype(np.float32)
    with MapsFile(path) as maps:
        scores, pairs, _ = matchmap.evaluate(maps, kind, (k,), at_once)
    assert pairs.left_out == {"captions_without_image": (index < 0).sum(), "images_without_caption": 0}
    directions, index = (scores.image_to_speech, scores.speech_to_image), index[index >= 0]
    assert [d.recall[k] for d in directions] == pytest.approx(oracle_evaluation.recalls(S, index, k))
    assert tuple(d.ties for d in directions) == oracle_evaluation.ties(S, index)


def real(n_images=30, n_captions=45, dim=16, seed=0):
    """Real numbers; some captions and images are there twice, so that some scores tie exactly."""
    rng = np.random.default_rng(seed)
    cells = rng.normal(size=(n_images, 3, 4, dim)).astype(np.float32)
    frames = [rng.normal(size=(rng.integers(1, 20), dim)).astype(np.float32) for _ in range(n_captions)]
    frames[7], cells[3] = frames[40], cells[20]
    return cells, frames, np.arange(n_captions) % n_images


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_change_nothing_on_real_numbers(tmp_path, kind):
    with MapsFile(maps_file(tmp_path / "a.h5", *real())) as maps:
        whole, *_ = matchmap.evaluate(maps, kind)
        assert whole.image_to_speech.ties + whole.speech_to_image.ties
        for at_once in ((1, 1), (30, 25), (100, 400)):
            assert matchmap.evaluate(maps, kind, at_once=at_once)[0] == whole


def test_sisa_is_the_dot_product_of_the_pooled_vectors(tmp_path):
    cells, frames, index = real()
    image, speech = cells.mean(axis=(1, 2), dtype=float), np.stack([rows.mean(axis=0, dtype=float) for rows in frames])
    path = maps_file(tmp_path / "a.h5", cells, frames, index)
    with MapsFile(path) as maps:
        found, *_ = matchmap.evaluate(maps, "sisa")
        assert found == retrieval.evaluate(image, speech, index)
        other, *_ = matchmap.evaluate(maps, "misa")
    assert other != found


def test_a_maximum_is_no_less_than_a_mean_and_the_same_where_there_is_one():
    rng = np.random.default_rng(3)
    cells, frames, first = rng.normal(size=(4, 6, 8)), rng.normal(size=(20, 8)), np.array([0, 3, 11])
    sisa, misa, sima = (matchmap.similarities(cells, frames, first, kind) for kind in KINDS)
    assert (misa > sisa).all()
    assert (sima > sisa).all()
    one_cell = [matchmap.similarities(cells[:, :1], frames, first, kind) for kind in ("sisa", "misa")]
    np.testing.assert_allclose(*one_cell)
    one_frame = [matchmap.similarities(cells, frames[:3], np.arange(3), kind) for kind in ("sisa", "sima")]
    np.testing.assert_allclose(*one_frame)


def test_the_reader_joins_by_id(tmp_path):
    cells, frames, index = real()
    with MapsFile(maps_file(tmp_path / "a.h5", cells, frames, index)) as maps:
        assert (maps.frame_period, maps.shape, maps.image_branch) == (0.16, (3, 4), True)
        np.testing.assert_array_equal(maps.cells(2), cells[2])
        np.testing.assert_array_equal(maps.frames(44), frames[44])
        found = maps.matchmap("i2.png", "u44")
        assert found.shape == (3, 4, len(frames[44]))
        assert found[1, 3, 0] == pytest.approx(float(cells[2, 1, 3] @ frames[44][0]), rel=1e-5)
        with pytest.raises(InputError, match=r"a\.h5: has no image 'i99\.png'"):
            maps.matchmap("i99.png", "u44")
        with pytest.raises(InputError, match=r"a\.h5: has no utterance 'x'"):
            maps.matchmap("i2.png", "x")


def test_missing_and_foreign_files_are_named(tmp_path):
    h5py.File(tmp_path / "foreign.h5", "w").close()
    codes_file(tmp_path / "codes.h5", [([1], None)])
    for name, message in (
        ("absent", "no such file"),
        ("foreign", "has no checksum of this software"),
        ("codes", "holds codes, not maps"),
    ):
        with pytest.raises(InputError, match=rf"{name}\.h5: {message}"):
            MapsFile(tmp_path / f"{name}.h5")


def test_memory_grows_with_the_block_not_with_the_pairs(tmp_path):
    n = 400
    rng = np.random.default_rng(0)
    frames = list(rng.normal(size=(n, 8, 2)))
    with MapsFile(maps_file(tmp_path / "a.h5", rng.normal(size=(n, 2, 2, 2)), frames, np.arange(n))) as maps:
        tracemalloc.start()
        matchmap.evaluate(maps, "misa", at_once=(64, 128))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < n * 4 * n * 8 * 8 / 20  # a twentieth of the matchmap


def test_score_writes_scores_and_conditions(tmp_path):
    cells, frames, index = real()
    index = np.where(np.arange(len(index)) == 5, -1, index)
    path, out = maps_file(tmp_path / "a.h5", cells, frames, index), tmp_path / "misa.json"
    scores = matchmap.score(path, "misa", config.Retrieval(split="test", recall_at=(1, 7)), out, lineage="{2}")
    value = json.loads(out.read_text())
    assert (value["lineage"], value["matchmap"]) == ("{2}", "misa")
    assert value["image_to_speech"]["recall_at_7"] == scores.image_to_speech.recall[7]
    low, high = value["intervals"]["retrieval_misa|test|mean|recall_at_7"]
    assert low <= scores.mean_recall(7) <= high
    assert list(bootstrap.read(out)) == list(value["intervals"])
    expected = {"split": "test", "images": 30, "captions": 44, "captions_without_image": 1, "cells": [3, 4]}
    assert value["conditions"] | expected | {"frame_period": 0.16} == value["conditions"]


@pytest.mark.parametrize(
    ("image_branch", "reason"), [(False, "the model has no image branch"), (True, "the split has no images")]
)
def test_without_images_there_are_no_scores_and_a_reason(tmp_path, image_branch, reason):
    path = maps_file(tmp_path / "a.h5", np.zeros((0, 0, 0, 2)), [np.ones((1, 2))], [-1], image_branch=image_branch)
    assert matchmap.score(path, "sima", config.Retrieval(split="test"), tmp_path / "sima.json", lineage="{}") is None
    assert json.loads((tmp_path / "sima.json").read_text())["not_available"] == reason
    assert bootstrap.read(tmp_path / "sima.json") == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_index": [0, 9]}, "do not fit together"),
        ({"offsets": [0, 2]}, "offsets has the shape"),
        ({"offsets": [0, 2, 3]}, "do not fit together"),
        ({"offsets": [0, 4, 4]}, "do not fit together"),
        ({"ids": ["a"]}, "image_index has the shape"),
        ({"cells": np.zeros((2, 1, 1, 5))}, "cells has the shape"),
        ({"cells": np.zeros(2)}, "cells has the shape"),
        ({"cells": np.full((2, 1, 1, 3), np.inf)}, r"image i0\.png are not finite"),
        ({"frames": np.full((4, 3), np.nan)}, r"utterance u0 are not finite"),
        ({"image_index": [-1, -1]}, "no pair of image and caption"),
        ({"cells": np.full((2, 1, 1, 3), 3e38), "frames": np.full((4, 3), 3e38)}, "range of single precision"),
    ],
)
def test_what_is_refused(tmp_path, changes, message):
    path = maps_file(tmp_path / "bad.h5", np.ones((2, 1, 1, 3)), [np.ones((2, 3))] * 2, [0, 1])
    with changed(path) as f:
        for name, value in changes.items():
            dtype = f[name].dtype
            del f[name]
            f.create_dataset(name, data=value, dtype=dtype)
    with pytest.raises(InputError, match=f"bad\\.h5: .*({message})"):
        matchmap.score(path, "sima", config.Retrieval(split="test"), tmp_path / "sima.json", lineage="{}")
    assert not (tmp_path / "sima.json").exists()
