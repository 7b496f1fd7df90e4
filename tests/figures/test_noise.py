"""Figures of scores against noise show the table's numbers, in the order of the noise."""

import csv

import pytest

from resdavenet_vq.errors import InputError
from resdavenet_vq.figures import noise as noise_figure


def row(lineage, layer, kind, snr, seed="", **scores):
    return {"lineage": lineage, "seed": seed, "layer": layer, "kind": kind, "snr_db": snr} | {
        k: str(v) for k, v in scores.items()
    }


ROWS = [
    row("raw log-mel", "logmel", "clean", "", abx_test_across=8),
    row("raw log-mel", "logmel", "white", "0.0", abx_test_across=20),
    row("{}->{2}", "quant2", "clean", "", mean_recall_at_10=0.7, abx_test_across=3, words_above_f1=30),
    row("{}->{2}", "quant2", "white", "0.0", mean_recall_at_10=0.1, abx_test_across=40, words_above_f1=1),
    row("{}->{2}", "quant2", "white", "20.0", mean_recall_at_10=0.5, abx_test_across=5, words_above_f1=20),
    row("{}->{2}", "quant2", "babble", "0.0", mean_recall_at_10=0.2, abx_test_across=35, words_above_f1=2),
]


def lines(figure):
    """Of each panel, the values of its lines by their names, that of chance apart."""
    return [
        {
            line.get_label(): list(line.get_ydata())
            for line in axes.lines
            if not line.get_label().startswith("by chance")
        }
        for axes in figure.axes
    ]


def test_lines_go_from_clean_to_the_loudest_noise():
    figure, alt = noise_figure.retrieval(ROWS)
    assert lines(figure) == [{"{} → {2}": pytest.approx([70, 50, 10])}, {"{} → {2}": pytest.approx([70, 20])}]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["clean", "20", "0"]
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["white", "babble"]
    assert "clean 70, white 0 dB 10, white 20 dB 50, babble 0 dB 20" in alt


def test_chance_is_a_line():
    abx = noise_figure.abx(ROWS, "test").figure
    assert [line.get_label() for line in abx.axes[1].lines][-1] == "by chance (50)"
    with_chance = [r | {"mean_chance_recall_at_10": "0.05"} for r in ROWS]
    assert [line.get_label() for line in noise_figure.retrieval(with_chance).figure.axes[0].lines][
        -1
    ] == "by chance (5)"
    assert len(noise_figure.words(ROWS).figure.axes[0].lines) == 1


def test_abx_has_the_baseline_and_words_have_none():
    abx, words = noise_figure.abx(ROWS, "test").figure, noise_figure.words(ROWS).figure
    assert lines(abx)[0] == {"raw log-mel": [8, 20], "{} → {2} quant2": [3, 5, 40]}
    assert list(abx.axes[0].lines[0].get_xdata()) == [0, 2], "a ratio that was not scored leaves its place empty"
    assert lines(words)[1] == {"{} → {2} quant2": [30, 2]}


def test_every_score_that_the_table_has():
    assert list(noise_figure.every(ROWS)) == ["retrieval", "abx_test", "words"]
    assert list(noise_figure.every([r for r in ROWS if r["layer"] == "logmel"], width=3.3)) == ["abx_test"]
    assert noise_figure.every(ROWS[:1]) == {}, "without noise there is nothing to compare"
    assert noise_figure.every([]) == {}


def test_seeds_are_dots_around_their_mean():
    seeds = [
        r | {"seed": s, "words_above_f1": str(int(r["words_above_f1"]) + d)}
        for r in ROWS[2:]
        for s, d in (("1", -1), ("2", 3))
    ]
    figure = noise_figure.words(seeds).figure
    assert lines(figure)[1] == {"{} → {2} quant2": [31, 3]}
    assert sorted(y for _, y in figure.axes[1].collections[0].get_offsets()) == [1, 5, 29, 33]


def test_reading_a_table(tmp_path):
    with (tmp_path / "noise.csv").open("w", newline="") as f:
        writer = csv.DictWriter(f, ROWS[2].keys(), restval="")
        writer.writeheader()
        writer.writerows(ROWS)
    assert noise_figure.read(tmp_path / "noise.csv")[2] == ROWS[2]
    with pytest.raises(InputError, match=r"absent\.csv: no such file"):
        noise_figure.read(tmp_path / "absent.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"other\.csv: is no table of scores under noise"):
        noise_figure.read(tmp_path / "other.csv")
