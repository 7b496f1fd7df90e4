"""Replicates of ABX errors: against loops over cells, and against known truths."""

import numpy as np
import polars as pl
import pytest
from evaluation.abx.synthetic import random_task, score
from evaluation.test_bootstrap import check, covered

from resdavenet_vq.evaluation import bootstrap
from resdavenet_vq.evaluation.abx.samples import Sample

CONTEXT, PHONES = ("prev-phone", "next-phone"), ("#phone", "#phone_b")
NAMES = [*PHONES, *CONTEXT, "speaker", "speaker_x"]


def table(rows):
    """Cells of [(phone, phone of B, context, speaker, speaker of X or None, error)]."""
    rows = [(a, b, context, "n", ab, x, float(error)) for a, b, context, ab, x, error in rows]
    cells = pl.DataFrame(rows, schema=[*NAMES, "error"], orient="row")
    return cells.drop("speaker_x") if rows[0][5] is None else cells


def made_up(rng, n_speakers, n_contexts, share, *, across=False, spread=(3, 3, 3), truth=20.0):
    """Cells whose errors are the truth with effects of speakers, contexts, and cells; each context has two pairs."""
    of_speaker, of_context = rng.normal(0, spread[0], n_speakers), rng.normal(0, spread[1], n_contexts)
    rows = []
    for k in range(n_contexts):
        for pair in rng.choice(6, 2, replace=False):
            for s in np.flatnonzero(rng.random(n_speakers) < share):
                for x in rng.choice(n_speakers, 3, replace=False) if across else [None]:
                    if x == s:
                        continue
                    speakers = of_speaker[s] if x is None else (of_speaker[s] + of_speaker[x]) / 2
                    error = truth + speakers + of_context[k] + rng.normal(0, spread[2])
                    rows.append((f"p{pair}", "b", f"c{k}", f"s{s}", None if x is None else f"s{x}", error))
    return table(rows)


def weight_of(factor, name, r):
    return factor.resamples.weights[r, factor.group[name]]


def by_hand(cells, weights):
    """The error of cells, each as often as its weights say: means over contexts, then speakers, then pairs."""
    pairs = {}
    for row in cells.to_dicts():
        of_cell, of_speaker = weights(row)
        pairs.setdefault((row["#phone"], row["#phone_b"]), {}).setdefault(row["speaker"], []).append(
            (row["error"], of_cell, of_speaker)
        )
    means = []
    for speakers in pairs.values():
        drawn = [some for some in speakers.values() if sum(w for _, w, _ in some)]
        level = [(sum(e * w for e, w, _ in some) / sum(w for _, w, _ in some), some[0][2]) for some in drawn]
        if total := sum(w for _, w in level):
            means.append(sum(e * w for e, w in level) / total)
    return np.mean(means) if means else np.nan


@pytest.mark.parametrize("across", [False, True])
def test_a_replicate_is_the_error_of_the_cells_drawn(across, monkeypatch):
    monkeypatch.setattr("resdavenet_vq.evaluation.abx.samples.AT_ONCE", 500)
    cells = made_up(np.random.default_rng(0), 4, 8, 0.5, across=across)
    sample = Sample([cells], CONTEXT, PHONES)
    found = sample.errors(cells)
    for r in range(25):

        def weights(row, r=r):
            of_cell = weight_of(sample.contexts, f"{row['prev-phone']}\x1fn", r)
            if across:
                of_cell *= weight_of(sample.speakers, row["speaker_x"], r)
            return of_cell, weight_of(sample.speakers, row["speaker"], r)

        assert found[r] == pytest.approx(by_hand(cells, weights), nan_ok=True)
    for at_once in (1, len(cells) // 2):
        monkeypatch.setattr("resdavenet_vq.evaluation.abx.samples.CELLS_AT_ONCE", at_once)
        np.testing.assert_array_equal(sample.errors(cells), found)
    shuffled = cells.sample(fraction=1, shuffle=True, seed=1)
    np.testing.assert_allclose(Sample([shuffled], CONTEXT, PHONES).errors(shuffled), found)


@pytest.mark.parametrize(("across", "n_sets"), [(False, 100), (True, 40)])
def test_errors_are_covered(across, n_sets):
    """Of a dozen speakers or more; where cells differ much for other reasons, more than 95 % are."""
    rng, intervals = np.random.default_rng(1), []
    for _ in range(n_sets):
        cells = made_up(rng, 16, 30, 0.4, across=across)
        intervals.append(bootstrap.interval(Sample([cells], CONTEXT, PHONES).errors(cells)))
    check(intervals, 20, 0.9, 1.0)


def test_few_speakers_are_covered_less():
    """What docs/uncertainty.md admits: four speakers do not say how others do."""
    rng, intervals = np.random.default_rng(2), []
    for _ in range(60):
        cells = made_up(rng, 4, 30, 0.5, spread=(6, 2, 2))
        intervals.append(bootstrap.interval(Sample([cells], CONTEXT, PHONES).errors(cells)))
    assert 0.6 < covered(intervals, 20)[0] < 0.92


def test_a_replicate_may_have_no_cells_and_a_table_no_context():
    rows = [("p", "b", "c", a, b, e) for a, b, e in (("s0", "s1", 10), ("s1", "s0", 30))]
    cells = table(rows).drop(CONTEXT)
    found = Sample([cells], CONTEXT, PHONES).errors(cells)
    assert set(found[~np.isnan(found)]) == {20.0}  # both drawn, or none of the other
    assert 0.4 < np.isnan(found).mean() < 0.6


def test_scores_have_intervals_around_them(tmp_path):
    features, item, _, _ = random_task(
        np.random.default_rng(3), tmp_path, layer="quant2", codes=np.eye(3, dtype=np.float32), utterances=12
    )
    result = score(features, item, "quant2")
    assert (result["speakers"], result["contexts"]) == (2, 2)
    assert len(result["intervals"]) == 5
    replicates = bootstrap.read(item.parent / "result.json")
    for name, (low, high) in result["intervals"].items():
        task, _, condition, kind = name.split("|")
        value = (
            result[f"{condition}_error"] if task == "abx" else result["bitrate"].get(kind, result["bitrate"][condition])
        )
        assert low <= value <= high
        assert low <= np.nanmean(replicates[name]) <= high
