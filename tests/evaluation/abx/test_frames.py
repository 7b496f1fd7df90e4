"""Which frames and segments an item is made of, and which items every layer can score."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import oracles.abx as oracle
import pytest
from encoded import changed
from evaluation.abx.synthetic import write_features
from hypothesis import example, given
from hypothesis import strategies as st

from resdavenet_vq.encode.features import LayerFeatures
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation.abx import frames as abx_frames
from resdavenet_vq.evaluation.abx.columns import Item, ItemTable
from resdavenet_vq.evaluation.symbols import LayerUnits


def item(onset, offset, file="u"):
    return Item(file, Decimal(onset), Decimal(offset), "p", "a", "b", "s")


def frames(token, period, n_frames):
    """The first frame of an item and the one after its last."""
    table = ItemTable.of([token])
    start, end = abx_frames.frames(table.onset, table.offset, round(period * 10**9), np.array([n_frames]))
    return int(start[0]), int(end[0])


def segments(token, duration, n_segments):
    """Likewise of segments."""
    table = ItemTable.of([token])
    times = table.onset, table.offset, np.array([int(duration * 10**9)]), np.array([n_segments])
    start, end = abx_frames.segments(*times)
    return int(start[0]), int(end[0])


@pytest.mark.parametrize(
    ("onset", "offset", "n_frames", "expected"),
    [
        ("0", "0.02", 10, (0, 1)),  # a centre on neither edge
        ("0.01", "0.03", 10, (0, 2)),  # centres on both edges count
        ("0.0101", "0.0299", 10, (1, 1)),  # too short: no centre
        ("0.16", "0.2", 10, (8, 10)),
        ("0.16", "0.25", 10, (8, 10)),  # ends where the frames end
        ("0.2", "0.22", 10, (10, 10)),  # wholly beyond
        ("0.3", "0.4", 10, (10, 10)),
    ],
)
def test_frames_of_an_item(onset, offset, n_frames, expected):
    assert frames(item(onset, offset), 0.02, n_frames) == expected


@given(st.integers(1, 60), st.integers(1, 40_000), st.integers(0, 30_000), st.integers(1, 10_000))
@example(8, 20_000, 0, 5_000)  # of eight in two seconds one stands every quarter of a second; edges count
@example(8, 20_000, 1_000, 1_000)  # between two
@example(8, 20_000, 2_500, 500)
@example(8, 20_000, 18_000, 4_000)  # after the last, which stands at 1.75
@example(8, 20_000, 17_500, 4_500)
def test_segments_like_the_oracle(n, duration, onset, length):
    onset = min(onset, duration)
    times = Fraction(onset, 10_000), Fraction(onset + length, 10_000)
    token = item(Decimal(onset) / 10_000, Decimal(onset + length) / 10_000)
    start, end = segments(token, Decimal(duration) / 10_000, n)
    found = list(range(start, end)) or [start - 1]
    assert found == oracle.segments_of(*times, Fraction(duration, 10_000), n)


def test_times_of_many_digits_are_those_to_a_nanosecond_and_of_long_recordings_too():
    token = item("0.30000000000000004", "900000.1234567891")
    (read,) = ItemTable.of([token])
    assert (read.onset, read.offset) == (Decimal("0.3"), Decimal("900000.123456789"))
    n = 10**9  # segments of a millisecond: products beyond 64 bits
    assert segments(token, Decimal(10**6), n) == (300, 900_000_124)


@pytest.mark.parametrize("period", [0.01, 0.02, 0.04, 0.08, 0.16])
def test_every_used_item_has_a_frame_in_every_layer(period):
    rng = np.random.default_rng(5)
    for samples in rng.integers(4000, 40000, 200):
        duration = samples / 16000
        n_frames = max(1, (1 + samples // 160) // round(period / 0.01))
        for onset in (*rng.uniform(0, duration - 0.16, 5), duration - 0.16):
            token = item(f"{onset:.4f}", Decimal(f"{onset:.4f}") + Decimal("0.16"))
            used, _ = abx_frames.usable(ItemTable.of([token]), {"u": duration}, 0.16)
            start, end = frames(token, period, n_frames)
            assert list(used) == [token]
            assert 0 <= start <= end <= n_frames
            assert start < end or start == n_frames  # it has a frame of its own, unless it lies beyond the last


def test_items_with_nothing_in_them_take_the_frame_before(tmp_path):
    codes = np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 1, 1, 2, 2, 2, 2]]
    features = write_features(tmp_path / "split.h5", "quant2", {"t": codes, "u": codes}, 0.02)
    tokens = ItemTable.of([item("0.2", "0.22", "u"), item("0.03", "0.05", "u"), item("0.14", "0.2", "u")])
    with LayerFeatures(features, "quant2") as layer:
        units = LayerUnits.read(layer)
        whole = abx_frames.gather(layer, tokens, units)
        segmented = abx_frames.gather(layer, tokens, units, segmented=True)
        assert whole.data.tolist() == [0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
        assert (whole.ranges.tolist(), whole.borrowed) == ([[9, 10], [1, 3], [7, 10]], 1)
        assert segmented.data.tolist() == [0, 1, 2]
        assert (segmented.ranges.tolist(), segmented.borrowed) == ([[2, 3], [0, 1], [2, 3]], 3)
        assert whole.units.tolist() == np.eye(3).tolist()  # numbered as they are met


def test_continuous_frames_stay_in_their_file(tmp_path):
    rng = np.random.default_rng(0)
    vectors = {f"u{i}": rng.normal(size=(5, 3)).astype(np.float32) for i in range(3)}
    with LayerFeatures(write_features(tmp_path / "split.h5", "conv2", vectors, 0.02), "conv2") as layer:
        tokens = ItemTable.of([item("0", "0.04", "u1"), item("0.02", "0.1", "u2")])
        found = abx_frames.gather(layer, tokens, None)
        assert isinstance(found.data, np.memmap)
        assert found.ranges.tolist() == [[5, 7], [11, 15]]
        assert np.array_equal(found.data, np.concatenate(list(vectors.values())))


def test_a_file_that_was_compressed_is_refused(tmp_path):
    vectors = {f"u{i}": np.random.default_rng(i).normal(size=(50, 3)).astype(np.float32) for i in range(3)}
    path = write_features(tmp_path / "split.h5", "conv2", vectors, 0.02)
    with changed(path) as f:
        whole = f["conv2/vectors"][:]
        del f["conv2/vectors"]
        f["conv2"].create_dataset("vectors", data=whole, chunks=(10, 3), compression="gzip")
    with pytest.raises(InputError, match=r"split\.h5: conv2/vectors is compressed .*h5repack"):
        LayerFeatures(path, "conv2")


def test_an_utterance_without_frames_is_refused(tmp_path):
    vectors = {"u": np.ones((5, 3)), "v": np.ones((0, 3))}
    with LayerFeatures(write_features(tmp_path / "split.h5", "conv2", vectors, 0.02, [0.1, 0.1]), "conv2") as layer:  # noqa: SIM117
        with pytest.raises(InputError, match="conv2 has no frame of utterance v"):
            abx_frames.gather(layer, ItemTable.of([item("0", "0.04", "v")]), None)
