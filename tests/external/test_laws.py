"""What must hold whatever the units are: nothing is lost on the way out and in again, and a segment is a run."""

import json
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import oracles.evaluation as oracle
import pytest
from external.made_elsewhere import NAMES, imported, split_of
from hypothesis import given, settings
from hypothesis import strategies as st

from resdavenet_vq import config
from resdavenet_vq.config.references import External
from resdavenet_vq.corpus import textgrid
from resdavenet_vq.data.store import Store
from resdavenet_vq.encode.codes import CodesFile, SplitCodes, add_codes, create_codes
from resdavenet_vq.encode.exports import export_units
from resdavenet_vq.encode.origin import Origin
from resdavenet_vq.evaluation import bitrate, boundaries, words
from resdavenet_vq.evaluation.word_counts import Vocabulary, blocks
from resdavenet_vq.external import laying
from resdavenet_vq.external.records import Record, as_labels


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    return split_of(tmp_path_factory.mktemp("split"))


def encoded(store, path, layer="quant3", period=0.04, size=9):
    """What a model might make of the split."""
    rng = np.random.default_rng(3)
    n = np.maximum(store.n_frames // 4, 1)
    origin = Origin("1" * 64, "{}->{3}", "test", store.sha256, {"context": "cropped"})
    rows = (store.utterance(i).to_dict() for i in range(len(store)))
    with create_codes(path, store.ids, rows, origin) as file:
        out = add_codes(file, layer, np.zeros((size, 2), np.float32), n, period)
        out.write_each(range(len(store)), [np.repeat(rng.integers(0, size, k), 2)[:k] for k in n])
    return path


def scores(path, layer, lineage, folder):
    """The words summary and the bitrate of a codes file, without what names its maker."""
    settings = config.Words(split="test", held_out_split="test", min_occurrences=1)
    summary = words.score(path, path, layer, settings, folder, frame_time="published", lineage=lineage)
    with CodesFile(path, layer) as file:
        (made, durations) = file.codes(0, len(file)), dict.fromkeys(file.ids, 1.0)
        begins = file.begins(0, len(file)) or [None] * len(file)
        rate = bitrate.measure(zip(file.ids, made, begins, strict=True), durations)
    return {key: value for key, value in summary.items() if key not in {"lineage", "origin", "layer"}}, rate


def without_segments(summary):
    """A words summary without what is scored by segments alone."""
    of_segments = {"tokens", "area"}
    units = {
        tier: {name: x for name, x in scores.items() if name not in of_segments} if isinstance(scores, dict) else scores
        for tier, scores in summary["units"].items()
    }
    intervals = {
        name: x for name, x in summary["intervals"].items() if name.split("|")[3].partition("_")[0] not in of_segments
    }
    return summary | {"units": units, "intervals": intervals}


def test_our_own_codes_score_the_same_when_they_come_back(split, tmp_path):
    ours = encoded(split, tmp_path / "test.h5")
    export_units(ours, ["quant3"], "jsonl", tmp_path / "units.jsonl")
    export_units(ours, ["quant3"], "npy", tmp_path / "units")
    (tmp_path / "units/quant3/codebook.npy").rename(tmp_path / "book.npy")
    before = scores(ours, "quant3", "{}->{3}", tmp_path / "before")
    for files, form, more in (
        (tmp_path / "units.jsonl", "jsonl", {"codebook_size": 9}),
        (tmp_path / "units", "npy", {"frame_period": 0.04, "codebook": tmp_path / "book.npy"}),
        (ours, "hdf5", {"codebook_size": 9}),
    ):
        back = imported(split, tmp_path / form, files, format=form, **more)
        assert scores(back.codes, "units", "elsewhere", tmp_path / "after") == before


def test_our_own_codes_come_back_from_textgrids(split, tmp_path):
    ours = encoded(split, tmp_path / "test.h5")
    export_units(ours, ["quant3"], "textgrid", tmp_path / "grids")
    for file in (tmp_path / "grids").iterdir():
        file.write_text(file.read_text().replace('"quant3"', '"units"'))
    back = imported(split, tmp_path, tmp_path / "grids", format="segments", resolution=0.04, codebook_size=9)
    with CodesFile(ours, "quant3") as one, CodesFile(back.codes, "units") as other:
        for before, after in zip(one.codes(0, len(one)), other.codes(0, len(one)), strict=True):
            assert after[: len(before)].tolist() == before.tolist()
            assert set(after[len(before) :].tolist()) <= {9}  # audio behind the last frame is a gap


@pytest.mark.parametrize("named", [False, True])
def test_segments_survive_export_and_import(split, tmp_path, named):
    """Two neighbours with one unit stay two, in every form that has durations."""
    rows = [[0.0, 0.1, 3], [0.1, 0.2, 3], [0.25, 0.4, 3], [0.4, 0.45, 1]]
    label = (lambda unit: f"w{unit}") if named else (lambda unit: unit)
    lines = [json.dumps({"id": name, "segments": [[a, b, label(u)] for a, b, u in rows]}) for name in NAMES]
    (tmp_path / "s.jsonl").write_text("\n".join(lines))
    first = imported(split, tmp_path, tmp_path / "s.jsonl", format="segments")
    export_units(first.codes, [], "jsonl", tmp_path / "out.jsonl")
    line = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    gap = "(gap)" if named else 4
    assert line["units"] == [*map(label, (3, 3)), gap, *map(label, (3, 1)), gap]
    assert line["frames"][:5] == [10, 10, 5, 15, 5]
    export_units(first.codes, [], "textgrid", tmp_path / "grids")
    tier = textgrid.read(tmp_path / f"grids/{line['id']}.TextGrid")["units"]
    assert [interval.label for interval in tier] == list(map(str, line["units"]))
    (tmp_path / "again").mkdir()
    size = {} if named else {"codebook_size": 5}
    again = imported(split, tmp_path / "again", tmp_path / "out.jsonl", format="jsonl", **size)
    before, after = (scores(made.codes, "units", "elsewhere", tmp_path / "x") for made in (first, again))
    assert before[1] == after[1]
    assert before[1].units_per_second == pytest.approx(6 * len(NAMES) / len(NAMES))
    with SplitCodes(first.codes) as ours, SplitCodes(again.codes) as other:
        if not named:  # a gap that comes back as a code is a segment
            assert without_segments(before[0]) == without_segments(after[0])
        for name in NAMES:
            tier = ours.tier("units", name, "published")
            assert [(i.start, i.end) for i in tier][:3] == [(0.0, 0.1), (0.1, 0.2), (0.2, 0.25)]
            assert [i[:2] for i in tier] == [i[:2] for i in other.tier("units", name, "published")]
        assert len(ours.layer("units").runs.start) == 6 * len(NAMES)


def test_boundaries_between_equal_neighbours_are_found(split, tmp_path):
    """`utt-1` and `utt-3` have words until 0.1 and from there to 0.25 s."""
    lines = [json.dumps({"id": name, "segments": [[0.0, 0.1, 3], [0.1, 0.5, 3]]}) for name in NAMES]
    (tmp_path / "s.jsonl").write_text("\n".join(lines))
    made = imported(split, tmp_path, tmp_path / "s.jsonl", format="segments", features=False)
    with CodesFile(made.codes, "units") as file:
        for shift in (0, 1, 3):
            (block,) = blocks(file, Vocabulary(), shift=shift)
            found = boundaries.boundaries(block, block.words, file.frame_period)
            assert (found.matched, found.reference) == (2, 4)
            assert len(block.begins) == len(block.codes)


LENGTHS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 30), st.integers(0, 5)), min_size=1, max_size=20)


@settings(max_examples=80)
@given(LENGTHS, st.sampled_from([0.01, 0.02, 0.005]))
def test_segments_on_frames(parts, resolution):
    """Units, lengths and gaps in frames, written as seconds: every frame is where it was, and every segment is a run."""
    edges, at, expected, starts = [], 0, [], []
    for _, length, gap in parts:
        edges.append((at, at + length))
        at += length + gap
    for (unit, length, gap), (start, _) in zip(parts, edges, strict=True):
        starts += [start, start + length]
        expected += [unit] * length + [9] * gap
    record = Record("a", "a", np.array([u for u, *_ in parts]), times=np.array(edges) * resolution)
    external = External(files={"x": Path("y")}, format="segments", resolution=resolution)
    span = laying.spans(record, external)
    codes, begins = laying.frames(record.units, span, at, 9)
    assert codes.tolist() == expected
    assert set(np.flatnonzero(begins)) == {0} | {s for s in starts if s < at}
    names = [str(u) for u in record.units]
    assert laying.has_equal_neighbours(record.units, span) == any(
        a == b and not gap for (a, _, gap), (b, *_) in pairwise(parts)
    )
    assert as_labels(names).tolist() == record.units.tolist()
    assert len(oracle.runs(codes.tolist())) <= begins.sum()


@settings(max_examples=60)
@given(st.lists(st.floats(0.004, 0.4), min_size=1, max_size=15))
def test_no_segment_gets_lost(lengths):
    """Times that fit no frame: segments keep their order and number, and no edge is far from where it was."""
    edges = np.cumsum([0.0, *lengths])
    record = Record("a", "a", np.arange(len(lengths)), times=np.stack([edges[:-1], edges[1:]], axis=1))
    external = External(files={"x": Path("y")}, format="segments")
    if min(lengths) < 0.01:  # several in a row may be shorter than a frame
        with suppress(ValueError):
            laying.spans(record, external)
        return
    span = laying.spans(record, external)
    assert (span[:, 1] > span[:, 0]).all()
    assert (span[1:, 0] >= span[:-1, 1]).all()
    assert np.abs(span * 0.01 - record.times).max() < 0.036


def test_a_cut_utterance_is_cut_likewise(split, tmp_path):
    cut = split_cut(tmp_path)
    lines = [f"{name}\t{' '.join(['1'] * int(cut.n_samples[i] / 320))}" for i, name in enumerate(NAMES)]
    (tmp_path / "u.txt").write_text("\n".join(lines))
    made = imported(cut, tmp_path, tmp_path / "u.txt", format="txt", frame_period=0.02)
    with CodesFile(made.codes, "units") as file:
        assert np.diff(file.offsets).tolist() == [10] * len(NAMES)
    assert made.report["cut_as_prepared"] == len(NAMES)


def split_cut(folder):
    """The split, of which 0.2 s were prepared."""
    from oracles.data import make_manifest, prepared

    return prepared(make_manifest(folder / "media", n=len(NAMES), seconds=0.5), folder, "cut", max_frames=20)


def test_the_first_utterances_alone(split, tmp_path):
    (tmp_path / "u.txt").write_text(f"utt-0\t{' '.join(['2'] * 25)}\n")
    made = imported(Store(split.path), tmp_path, tmp_path / "u.txt", format="txt", frame_period=0.02, limit=1)
    with CodesFile(made.codes, "units") as file:
        assert (file.ids, file.codebook_size) == (["utt-0"], 3)
