"""Figures of the registry from a folder of results: by function, and by the command that people and rules use."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from report.made_up import copy_as_seed, limit_best, summarize
from typer.testing import CliRunner

from resdavenet_vq import config
from resdavenet_vq.__main__ import app
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation.summary import COLUMNS, SPREAD_COLUMNS
from resdavenet_vq.figures import paper, utterances
from resdavenet_vq.figures.registry import COLUMN, FIGURES, PAGE, Request
from resdavenet_vq.figures.style import FORMATS
from resdavenet_vq.workflow.figures import planned_figures
from resdavenet_vq.workflow.plan import Plan

REPO = Path(__file__).resolve().parents[2]


def run(*arguments):
    """A command that must end well; its output."""
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.output


def request(folder, lineages=(), **options):
    return Request(paper.open_results(folder, lineages), **{"width": PAGE, "split": "test"} | options)


@pytest.fixture
def of_seeds(folder):
    """The results, and those of another seed of one lineage."""
    copy_as_seed(folder, "none-2", 3)
    return folder


def names(figure):
    return [tick.get_text().replace("\n", " ") for tick in figure.axes[1].get_yticklabels()]


@pytest.mark.parametrize(
    "arguments",
    [
        ["retrieval"],
        ["precision-recall", "--split", "test", "--systems", "none-2-23"],
        ["utterance", "--split", "test", "--from", "0.1", "--to", "0.4", "--layers", "quant2"],
    ],
)
def test_a_figure_is_written_in_every_format_at_the_width_requested(results, tmp_path, arguments):
    outs = [tmp_path / f"new/figure.{kind}" for kind in FORMATS]
    run("figure", *arguments, "--results", results, "--width", COLUMN, *(f"--out={out}" for out in outs))
    assert f'width="{COLUMN * 72:.1f}'[:12] in outs[1].read_text()
    assert sorted(tmp_path.joinpath("new").iterdir()) == sorted(outs)


def test_every_figure_is_registered_once_and_drawn_by_the_function_of_its_name(results):
    assert all(callable(getattr(paper, name.replace("-", "_"))) for name in FIGURES)
    options = {"layers": ("none-2/quant2",), "word": "boat"}
    for name, figure in FIGURES.items():
        if figure.reads != "noise":
            own = {key: value for key, value in options.items() if key in figure.options}
            drawing = paper.draw(name, request(results, width=figure.width, **own))
            assert drawing.figure.get_figwidth() == figure.width
            assert drawing.alt


def test_the_workflow_asks_for_figures_as_the_command_takes_them(results, tmp_path):
    values = yaml.safe_load((REPO / "config.yaml").read_text())
    planned = planned_figures(Plan(config.read(values | {"figures": {"keywords": ["BOAT"], "utterances": ["u1<i>"]}})))
    for name, figure in planned.items():
        run("figure", *figure.arguments, "--results", results, "--out", tmp_path / f"{name}.svg")
    assert {file.stem for file in tmp_path.iterdir()} == planned.keys()
    assert "No model has scores of ABX error on unseen" in (tmp_path / "abx-unseen.svg").read_text()


def test_an_option_that_a_figure_lacks_or_needs_is_named(results, tmp_path):
    out = ["--results", str(results), "--out", str(tmp_path / "a.pdf")]
    for arguments, message in (
        (["retrieval", "--word", "boat"], "figure retrieval: has no option --word"),
        (["abx"], "figure abx: needs the option --split"),
        (["word"], "figure word: did you mean 'words'"),
    ):
        assert message in str(CliRunner().invoke(app, ["figure", *arguments, *out]).exception)
    assert not list(tmp_path.iterdir())


def test_another_suffix_is_refused_before_anything_is_written(results, tmp_path):
    with pytest.raises(InputError, match=r"b\.jpg: a figure is written as pdf, svg, png"):
        paper.write(paper.draw("retrieval", request(results)), [tmp_path / "a.pdf", tmp_path / "b.jpg"])
    assert not list(tmp_path.iterdir())


def test_an_utterance_has_the_rows_of_the_chosen_models_and_layers(results):
    rows = ["words", "phones", "{} → {2} quant2", "{} → {2} → {2,3} quant2", "{} → {2} → {2,3} quant3"]
    others = ["hubert quant2", "k-means of log-mel quant2", "k-means of log-mel quant3"]
    every = request(results, utterance="u1<i>")
    for layers, expected in (
        ((), [*rows[2:], *others]),
        (("quant2",), [*rows[2:4], *others[:2]]),
        (("kmeans/quant3",), others[2:]),
        (("none-2-23/quant2",), [rows[3]]),
        (("none-2-23/quant3", "none-2/quant2"), [rows[2], rows[4]]),
    ):
        assert names(paper.utterance(replace(every, layers=layers)).figure) == [*rows[:2], *expected]
    one = request(results, ["none-2"], width=COLUMN)
    drawing = paper.utterance(replace(one, utterance="u1<i>", start=0.2, end=0.5))
    assert names(drawing.figure) == rows[:3]
    assert drawing.figure.axes[0].get_xlim() == (0.2, 0.5)
    assert drawing.alt == (
        "Spectrogram of utterance u1<i> from 0.20 to 0.50 s, RED NULL; above it: words, phones, {} → {2} quant2."
    )
    assert paper.utterance(one).alt.startswith("Spectrogram of utterance u0<i> from 0.00 to 0.60 s")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("utterance", {"utterance": "u1<j>"}, r"utterance u1<j>: is not in the split test; did you mean 'u1<i>'"),
        ("utterance", {"utterance": "u0<i>", "start": 2}, r"lasts 0\.60 s, and has no stretch from 2 to 0\.6 s"),
        (
            "utterance",
            {"layers": ("quant4",)},
            "layer quant4: no codes of it on the split test; known are none-2/quant2",
        ),
        ("utterance", {"split": "val"}, r"neither data/val\.h5 nor codes of the split val"),
        ("keyword", {"word": "boats"}, "word 'boats': is not spoken in the split test; did you mean 'BOAT'"),
    ],
)
def test_what_is_requested_and_is_not_there_is_named(results, name, options, message):
    with pytest.raises(InputError, match=message):
        paper.draw(name, request(results, **options))


def test_a_model_that_is_not_there_is_named(results, tmp_path):
    with pytest.raises(InputError, match="none-3: no such model; did you mean 'none-2'"):
        paper.open_results(results, ["none-3"])
    with pytest.raises(InputError, match="has no trained model"):
        paper.open_results(tmp_path)


def test_a_keyword_is_found_wherever_it_is_spoken_with_its_sound(results, tmp_path):
    boats = request(results, word="boat")
    drawing, (places, total) = paper.keyword(boats), utterances.keyword_places(boats)
    store = boats.results.store("test")
    assert len(places) == total == 3
    assert drawing.alt.startswith(
        "3 of 3 places where boat is spoken in the split test: u2<i>, 0.30 s, anna; u6<i>, 0.30 s"
    )
    assert [text.get_text() for text in drawing.figure.texts] == [place.segment.title for place in places]
    for axes, (segment, samples) in zip(drawing.figure.axes[::2], places, strict=True):
        source, rate = soundfile.read(store.utterance(store.index(segment.title.split(",")[0])).wav)
        word = segment.marked
        start, end = word.start - utterances.MARGIN, min(word.end + utterances.MARGIN, len(source) / rate)
        assert word.label == "BOAT"
        assert axes.get_xlim() == pytest.approx((start, end))
        assert [line.get_xdata()[0] for line in axes.lines] == [word.start, word.end]
        assert np.allclose(samples, source[int(start * rate) : int(end * rate)], atol=1e-4)
    boxes = {(p.get_x(), p.get_x() + p.get_width()) for p in drawing.figure.axes[1].patches}
    assert any(pair == pytest.approx(places[0].segment.marked[:2]) for pair in boxes)
    options = ["--split", "test", "--word", "boat", "--places", 2, "--sounds", "--out", tmp_path / "boat.pdf"]
    run("figure", "keyword", "--results", results, *options)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["boat-01.wav", "boat-02.wav", "boat.pdf"]
    sound, rate = soundfile.read(tmp_path / "boat-02.wav")
    assert (rate, len(sound)) == (16000, len(places[1].samples))
    assert np.allclose(sound, places[1].samples, atol=1e-4)


def test_trainings_of_several_seeds_look_alike_and_both_counts_of_codes_are_drawn(of_seeds):
    every = request(of_seeds, width=COLUMN)
    models = every.results.models
    trained, others = ["none", "none-2", "none-2-seed3", "none-2-23"], ["external-hubert", "kmeans"]
    assert [model.folder.name for model in models] == [*trained, *others]
    assert [model.name for model in models][1:3] == ["{} → {2}", "{} → {2} (seed 3)"]
    figure, alt = paper.training(every)
    assert [axes.get_ylabel() for axes in figure.axes] == ["Loss", "Validation R@10"]
    assert [len(axes.lines) for axes in figure.axes] == [4, 4]
    assert len(figure.legends[0].texts) == 3
    assert alt.startswith("Loss over epochs: {} from 4 to 1.63 in 6 epochs; ")
    for model in models:
        for layer in ("quant2", "quant3"):
            if model.history is not None and f"{layer}_codes_used" in model.history:
                model.history[f"{layer}_live_codes"] = 7
    figure, _ = paper.codebooks(every)
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "Perplexity (log)",
        "Codes in use (log)",
        "Live codes (log)",
        "Top share",
    ]
    assert {tuple(line.get_ydata()) for line in figure.axes[2].lines} == {(7.0,) * 6}


def test_comparisons_show_every_seed(of_seeds):
    summarize(of_seeds)
    assert "{} → {2} quant2 8 ± 0 (n = 2) within speakers" in paper.abx(request(of_seeds)).alt


def test_words_best_bounds_the_words_drawn(folder):
    limit_best(folder, 2)
    points = paper.precision_recall(request(folder)).figure.axes[0].collections
    assert [len(p.get_offsets()) for p in points] == [2] * 6


def test_a_figure_of_nothing_says_so(results, tmp_path):
    for name, columns in (("scores", COLUMNS), ("comparison", [*SPREAD_COLUMNS, "low", "high"])):
        (tmp_path / f"{name}.csv").write_text(",".join(dict.fromkeys(columns)) + "\n")
    nothing = Request(paper.open_results(tmp_path, models=False), COLUMN, split="test")
    without = request(results, ["none"], width=COLUMN)
    for name in (
        "retrieval",
        "abx",
        "bitrate-abx",
        "bitrate-words",
        "verdict",
        "words",
        "words-above",
        "precision-recall",
    ):
        drawing = paper.draw(name, nothing if FIGURES[name].reads == "scores" else without)
        assert drawing.alt.startswith("No model has scores of")
        assert drawing.figure.texts[0].get_text() == drawing.alt


def test_tables_by_command(results, tmp_path):
    text = run("table", "abx", "--results", results)
    run("table", "abx", "--results", results, "--format", "latex", "--out", tmp_path / "abx.tex")
    assert "| {}->{2} | quant2 | 20 | 8.00 [7.20, 8.80] |" in text
    assert "angular, DTW" in text
    assert "| +24.1 [+19.2, +29.0] |" in run("table", "differences", "--results", results)
    assert r"\{\} $\rightarrow$ \{2\} & conv2 & 20 & 8.00 [7.20, 8.80] &" in (tmp_path / "abx.tex").read_text()
