"""Figures of scores against noise show the table's numbers, in the order of the noise."""

import math
from types import SimpleNamespace

import pandas as pd
import pytest

from resdavenet_vq.evaluation.summary import NOISE_COLUMNS
from resdavenet_vq.figures import noise
from resdavenet_vq.figures.registry import COLUMN, Request

KEYS = {
    "recall": ("retrieval", "mean", "recall_at_10"),
    "chance": ("retrieval", "mean", "chance_recall_at_10"),
    "abx": ("abx", "across", "error"),
    "words": ("words", "held_out", "words_above_f1"),
}


def rows(lineage, layer, kind, snr_db, **scores):
    return [
        dict.fromkeys(NOISE_COLUMNS, "")
        | {"lineage": lineage, "layer": "" if task == "retrieval" else layer, "kind": kind, "snr_db": snr_db}
        | {"task": task, "condition": condition, "score": score, "value": float(value), "clean_split": "test"}
        for name, value in scores.items()
        for task, condition, score in [KEYS[name]]
    ]


NOISE = pd.DataFrame(
    [
        *rows("raw log-mel", "logmel", "clean", math.nan, abx=8),
        *rows("raw log-mel", "logmel", "white", 0.0, abx=20),
        *rows("{}->{2}", "quant2", "clean", math.nan, recall=0.7, abx=3, words=30),
        *rows("{}->{2}", "quant2", "white", 0.0, recall=0.1, abx=40, words=1),
        *rows("{}->{2}", "quant2", "white", 20.0, recall=0.5, abx=5, words=20),
        *rows("{}->{2}", "quant2", "babble", 0.0, recall=0.2, abx=35, words=2),
    ]
)


def request(table=NOISE, split="test", width=None):
    return Request(SimpleNamespace(noise=table), width, split)


def lines(figure):
    """Of each panel, the values of its lines by their names, without that of chance."""
    panels = ([line for line in axes.lines if not line.get_label().startswith("by chance")] for axes in figure.axes)
    return [{line.get_label(): list(line.get_ydata()) for line in panel} for panel in panels]


def test_lines_go_from_clean_to_the_loudest_noise():
    figure, alt = noise.noise_retrieval(request())
    assert lines(figure) == [{"{} → {2}": pytest.approx([70, 50, 10])}, {"{} → {2}": pytest.approx([70, 20])}]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["clean", "20", "0"]
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["white", "babble"]
    assert "clean 70, white 0 dB 10, white 20 dB 50, babble 0 dB 20" in alt


def test_chance_is_a_line():
    assert noise.noise_abx(request()).figure.axes[1].lines[-1].get_label() == "by chance (50)"
    with_chance = pd.concat([NOISE, pd.DataFrame(rows("{}->{2}", "quant2", "white", 0.0, chance=0.05))])
    assert noise.noise_retrieval(request(with_chance)).figure.axes[0].lines[-1].get_label() == "by chance (5)"
    assert len(noise.noise_words(request()).figure.axes[0].lines) == 1


def test_abx_has_the_baseline_and_words_have_none():
    abx, words = noise.noise_abx(request()).figure, noise.noise_words(request()).figure
    assert lines(abx)[0] == {"raw log-mel": [8, 20], "{} → {2} quant2": [3, 5, 40]}
    assert list(abx.axes[0].lines[0].get_xdata()) == [0, 2], "a ratio that was not scored leaves its place empty"
    assert lines(words)[1] == {"{} → {2} quant2": [30, 2]}


def test_without_noise_there_is_nothing_to_compare():
    clean = NOISE[NOISE["kind"] == "clean"]
    for draw in (noise.noise_retrieval, noise.noise_abx, noise.noise_words):
        assert draw(request(clean)) is None
    assert noise.noise_abx(request(split="other")) is None


def test_seeds_are_dots_around_their_mean():
    seeds = pd.concat([NOISE.assign(value=NOISE["value"] + difference) for difference in (-1, 3)])
    figure = noise.noise_words(request(seeds, width=COLUMN)).figure
    assert lines(figure)[1] == {"{} → {2} quant2": [31, 3]}
    assert sorted(y for _, y in figure.axes[1].collections[0].get_offsets()) == [1, 5, 29, 33]
