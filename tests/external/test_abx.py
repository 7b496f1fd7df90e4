"""ABX of units made elsewhere: equal or not without code vectors, by distance with them; segments count as runs."""

import numpy as np
import oracles.abx as oracle
import pytest
from encoded import changed
from evaluation.abx.synthetic import ALL, both, by_hand, random_task, score

from resdavenet_vq.errors import InputError

VECTORS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], np.float32)
"""A quarter and a half of a circle apart, which has no rounding."""


@pytest.mark.parametrize("distance", ["angular", "euclidean"])
def test_numbers_of_codes_have_no_distance(tmp_path, distance):
    codes = np.arange(4, dtype=np.float32)[:, None]
    features, item, vectors, rows = random_task(np.random.default_rng(1), tmp_path, layer="units", codes=codes)
    result = score(features, item, "units", ALL.model_copy(update={"distance": distance}))
    assert both(result) == pytest.approx(by_hand(vectors, rows, oracle.identical), abs=1e-4)
    assert (result["distance"], result["representation"]) == ("identical, DTW", "units")


def test_code_vectors_have_one(tmp_path):
    features, item, vectors, rows = random_task(np.random.default_rng(1), tmp_path, layer="units", codes=VECTORS)
    result = score(features, item, "units")
    assert both(result) == pytest.approx(by_hand(vectors, rows, oracle.angular), abs=1e-4)
    assert result["distance"] == "angular, DTW"
    assert both(result) != both(score(features, item, "units", ALL.model_copy(update={"distance": "identical"})))


def test_frames_of_continuous_features(tmp_path):
    features, item, vectors, rows = random_task(np.random.default_rng(2), tmp_path, layer="features")
    result = score(features, item, "features")
    assert both(result) == pytest.approx(by_hand(vectors, rows, oracle.angular), abs=1e-4)
    assert result["bitrate"] is None


def test_marks_make_runs_of_their_own(tmp_path):
    features, item, vectors, _ = random_task(np.random.default_rng(1), tmp_path, layer="units", codes=VECTORS)
    before = score(features, item, "units")
    n = sum(map(len, vectors.values()))
    with changed(features) as file:
        file["units/begins"] = np.ones(n, np.uint8)
    after = score(features, item, "units")
    assert after["bitrate"]["runs"] == n > before["bitrate"]["runs"]
    assert after["bitrate"]["units_per_second"] == pytest.approx(n / before["bitrate"]["duration"])
    assert both(after) == both(before)
    with changed(features) as file:
        del file["units/begins"]
        file["units/begins"] = np.ones(n + 1, np.uint8)
    with pytest.raises(InputError, match=r"units/begins has the shape"):
        score(features, item, "units")
