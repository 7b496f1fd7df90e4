"""Figures for a paper as files, from a folder of results: by function, and by the commands that people and rules use."""

from __future__ import annotations

import csv
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from matplotlib.patches import Rectangle
from typer.testing import CliRunner

from resdavenet_vq import config
from resdavenet_vq.__main__ import app
from resdavenet_vq.errors import InputError
from resdavenet_vq.figures import histories, paper
from resdavenet_vq.figures.style import COLUMN, PAGE
from resdavenet_vq.workflow.figures import drawings
from resdavenet_vq.workflow.plan import Plan

REPO = Path(__file__).resolve().parents[2]


def run(*arguments):
    """A command that must end well; its output."""
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.output


@pytest.fixture(scope="module")
def of_seeds(results, tmp_path_factory):
    """The results, and those of another seed of one lineage."""
    folder = tmp_path_factory.mktemp("seeds") / "results"
    shutil.copytree(results, folder)
    shutil.copytree(folder / "none-2", folder / "none-2-seed3")
    return folder


def names(figure):
    return [tick.get_text().replace("\n", " ") for tick in figure.axes[1].get_yticklabels()]


@pytest.mark.parametrize(
    "arguments",
    [
        ["retrieval"],
        ["precision-recall", "--lineages", "none-2-23", "--best", "3"],
        ["utterance", "--split", "test", "--from", "0.1", "--to", "0.4", "--layers", "quant2"],
    ],
)
def test_a_figure_is_written_in_every_format_at_the_width_asked_for(results, tmp_path, arguments):
    outs = [tmp_path / f"new/figure.{kind}" for kind in ("pdf", "svg", "png")]
    run(
        "figure",
        *arguments,
        "--results",
        results,
        "--width",
        COLUMN,
        *(part for out in outs for part in ("--out", out)),
    )
    starts = {".pdf": b"%PDF", ".svg": b"<?xml", ".png": b"\x89PNG"}
    assert all(out.read_bytes().startswith(starts[out.suffix]) for out in outs)
    assert f'width="{COLUMN * 72:.1f}'[:12] in outs[1].read_text()
    assert sorted(tmp_path.joinpath("new").iterdir()) == sorted(outs)


def test_the_workflow_asks_for_figures_as_the_commands_take_them(results, tmp_path):
    values = yaml.safe_load((REPO / "config.yaml").read_text())
    planned = drawings(Plan(config.read(values | {"figures": {"keywords": ["BOAT"], "utterances": ["u1<i>"]}})))
    for name, drawing in planned.items():
        run("figure", *shlex.split(drawing.arguments), "--results", results, "--out", tmp_path / f"{name}.svg")
    assert {file.stem for file in tmp_path.iterdir()} == planned.keys()
    assert "No model has scores of ABX on abx" in (tmp_path / "abx-abx.svg").read_text()


def test_another_suffix_is_refused_before_anything_is_written(results, tmp_path):
    with pytest.raises(InputError, match=r"b\.jpg: a figure is written as pdf, svg, png"):
        paper.write(paper.retrieval(results, COLUMN), [tmp_path / "a.pdf", tmp_path / "b.jpg"])
    assert not list(tmp_path.iterdir())


def test_an_utterance_has_the_rows_of_the_chosen_models_and_layers(results):
    found = paper.find(results)
    all_rows = ["words", "phones", "{} → {2} quant2", "{} → {2} → {2,3} quant2", "{} → {2} → {2,3} quant3"]
    assert names(paper.utterance(paper.Split(found, "test"), "u1<i>", 0, None, PAGE).figure) == all_rows
    for layers, expected in (
        (["quant2"], all_rows[2:4]),
        (["none-2-23/quant2"], [all_rows[3]]),
        (["quant3", "none-2/quant2"], [all_rows[2], all_rows[4]]),
    ):
        assert names(paper.utterance(paper.Split(found, "test", layers), "u1<i>", 0, None, PAGE).figure) == [
            "words",
            "phones",
            *expected,
        ]
    one = paper.Split(paper.find(results, ["{}->{2}"]), "test")
    drawn = paper.utterance(one, "u1<i>", 0.2, 0.5, COLUMN)
    assert names(drawn.figure) == ["words", "phones", all_rows[2]]
    assert drawn.figure.axes[0].get_xlim() == (0.2, 0.5)
    assert drawn.alt == (
        "Spectrogram of utterance u1<i> from 0.20 to 0.50 s, RED NULL; above it: words, phones, {} → {2} quant2."
    )
    assert paper.utterance(one, None, 0, None, COLUMN).alt.startswith(
        "Spectrogram of utterance u0<i> from 0.00 to 0.60 s"
    )


def test_what_is_asked_for_and_is_not_there_is_named(results, tmp_path):
    split = paper.Split(paper.find(results), "test")
    with pytest.raises(InputError, match=r"utterance u1<j>: is not in the split test; did you mean 'u1<i>'"):
        paper.utterance(split, "u1<j>", 0, None, PAGE)
    with pytest.raises(InputError, match=r"lasts 0\.60 s, and has no stretch from 2 to 0\.6 s"):
        paper.utterance(split, "u0<i>", 2, None, PAGE)
    with pytest.raises(
        InputError, match="layer quant4: no codes of it on the split test; known are none-2/quant2, none-2-23"
    ):
        paper.utterance(paper.Split(split.found, "test", ["quant4"]), None, 0, None, PAGE)
    with pytest.raises(InputError, match="word 'boats': is not spoken in the split test; did you mean 'BOAT'"):
        paper.keyword(split, "boats", 3)
    with pytest.raises(InputError, match=r"neither data/val\.h5 nor codes of the split val"):
        paper.utterance(paper.Split(split.found, "val"), None, 0, None, PAGE)
    with pytest.raises(InputError, match="none-3: no such model; did you mean 'none-2'"):
        paper.find(results, ["none-3"])
    with pytest.raises(InputError, match="has no trained model"):
        paper.find(tmp_path)


def test_a_keyword_is_found_wherever_it_is_spoken_with_its_sound(results, tmp_path):
    split = paper.Split(paper.find(results), "test")
    places = [(u, i) for u in split.utterances for i in u.words if i.label == "BOAT"]
    assert len(places) == 3
    drawn, sounds = paper.keyword(split, "boat", 8)
    assert drawn.alt.startswith(
        "3 of 3 places where boat is spoken in the split test: u2<i>, 0.30 s, anna; u6<i>, 0.30 s"
    )
    assert [text.get_text() for text in drawn.figure.texts] == [
        f"{u.id}, {i.start:.2f} s, {u.speaker}" for u, i in places
    ]
    pictures = drawn.figure.axes[::2]
    assert len(pictures) == 3
    for axes, sound, (u, i) in zip(pictures, sounds, places, strict=True):
        samples, rate = soundfile.read(u.wav)
        start, end = i.start - paper.BESIDE, min(i.end + paper.BESIDE, len(samples) / rate)
        assert axes.get_xlim() == pytest.approx((start, end))
        assert [line.get_xdata()[0] for line in axes.lines] == [i.start, i.end]
        assert np.allclose(sound.samples, samples[int(start * rate) : int(end * rate)], atol=1e-4)
    shown = {(p.get_x(), p.get_x() + p.get_width()) for p in drawn.figure.axes[1].patches if isinstance(p, Rectangle)}
    assert any(pair == pytest.approx(places[0][1][:2]) for pair in shown)
    out = tmp_path / "boat.pdf"
    run(
        "figure",
        "keyword",
        "--results",
        results,
        "--split",
        "test",
        "--word",
        "boat",
        "--places",
        2,
        "--sounds",
        "--out",
        out,
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["boat-01.wav", "boat-02.wav", "boat.pdf"]
    heard, rate = soundfile.read(tmp_path / "boat-02.wav")
    assert (rate, len(heard)) == (16000, len(sounds[1].samples))
    assert np.allclose(heard, sounds[1].samples, atol=1e-4)


def test_trainings_of_several_seeds_look_alike_and_both_counts_of_codes_are_shown(of_seeds):
    found = paper.find(of_seeds)
    assert [model.folder.name for model in found.models] == ["none", "none-2", "none-2-seed3", "none-2-23"]
    assert [model.name for model in found.models][1:3] == ["{} → {2}", "{} → {2} (seed 3)"]
    figure, alt = paper.training(found, histories.TRAINING, COLUMN)
    assert [axes.get_ylabel() for axes in figure.axes] == ["Loss", "Validation R@10"]
    assert [len(axes.lines) for axes in figure.axes] == [4, 4]
    assert len(figure.legends[0].texts) == 3
    assert alt.startswith("Loss over epochs: {} from 4 to 1.63 in 6 epochs; ")
    for model in found.models:
        for layer in ("quant2", "quant3"):
            if model.history is not None and f"{layer}_codes_used" in model.history:
                model.history[f"{layer}_live_codes"] = 7
    figure, _ = paper.training(found, histories.CODEBOOKS, COLUMN)
    assert [axes.get_ylabel() for axes in figure.axes] == ["Perplexity", "Codes in use", "Live codes", "Top share"]
    assert {tuple(line.get_ydata()) for line in figure.axes[2].lines} == {(7.0,) * 6}


def test_recall_at_one_is_the_mean_of_both_directions():
    import pandas as pd

    history = pd.DataFrame(
        {"epoch": [1, 2], "image_to_speech_recall_at_1": [0.1, 0.2], "speech_to_image_recall_at_1": [0.3, 0.6]}
    )
    (panel,) = histories.panels([("{}", history)], ["recall-at-1"])
    assert panel.lines[0].y.tolist() == pytest.approx([0.2, 0.4])


def test_a_figure_of_nothing_says_so(results, tmp_path):
    rows = list(csv.DictReader((results / "summary.csv").open(newline="")))
    with (tmp_path / "summary.csv").open("w", newline="") as f:
        writer = csv.DictWriter(f, ["lineage", "seed", "layer"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    for drawn in (
        paper.retrieval(tmp_path, COLUMN),
        paper.abx(tmp_path, "test", COLUMN),
        paper.words(tmp_path, COLUMN),
    ):
        assert drawn.alt.startswith("No model has scores of")
        assert drawn.figure.texts[0].get_text() == drawn.alt
    without = paper.find(results, ["none"])
    assert (
        paper.words_above(without, COLUMN).alt
        == paper.precision_recall(without, COLUMN).alt
        == "No model has scores of words."
    )


def test_tables_and_comparisons_by_command(results, tmp_path):
    text = run("table", "abx", "--results", results)
    run("table", "abx", "--results", results, "--format", "latex", "--out", tmp_path / "abx.tex")
    run("compare", results / "summary.csv", "--out", tmp_path / "comparison.csv")
    assert "| {}->{2} | quant2 | 20 | 8.00 |" in text
    assert r"\{\} $\rightarrow$ \{2\} & conv2 & 20 & 8.00 &" in (tmp_path / "abx.tex").read_text()
    assert len(list(csv.DictReader((tmp_path / "comparison.csv").open()))) == len(
        list(csv.DictReader((results / "summary.csv").open()))
    )
    assert (
        Path(tmp_path / "comparison.csv")
        .read_text()
        .startswith("lineage,layer,frame_period,seeds,mean_recall_at_10_mean,")
    )
