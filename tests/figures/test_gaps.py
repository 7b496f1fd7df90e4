"""Figures of a corpus that has neither words, phones, texts nor images: each is drawn, or says what it needs."""

from pathlib import Path

import pytest
import yaml
from report.made_up import SYSTEMS, build, utterances, without
from typer.testing import CliRunner

from resdavenet_vq import config
from resdavenet_vq.__main__ import app
from resdavenet_vq.figures import paper
from resdavenet_vq.figures.registry import COLUMN, FIGURES, Request
from resdavenet_vq.figures.utterances import write_sounds
from resdavenet_vq.workflow.figures import planned_figures
from resdavenet_vq.workflow.plan import Plan

REPO = Path(__file__).resolve().parents[2]

SAYS = {
    "retrieval": "Retrieval: needs images.",
    "abx": "ABX error on test: needs aligned phones.",
    "bitrate-abx": "Bitrate and ABX error on test: needs aligned phones.",
    "bitrate-words": "Bitrate and words detected: needs aligned phones, needs aligned words.",
    "verdict": "Units at equal bitrate: needs aligned phones.",
    "words": "Words detected: needs aligned words.",
    "words-above": "Words above each threshold on test: needs aligned words.",
    "precision-recall": "Precision and recall on test: needs aligned words.",
    "keyword": "Keyword on test: needs aligned words.",
}


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """The results of a corpus of sounds alone; never written to."""
    top = tmp_path_factory.mktemp("bare")
    results = top / "results" / "spoken_scenes"
    build(results, without(utterances(top, 12), "words", "phones", "text", "speaker", "image"))
    return results


def request(results, name, **options):
    models = FIGURES[name].reads_models
    return Request(paper.open_results(results, models=models), COLUMN, **{"split": "test", "word": "boat"} | options)


@pytest.mark.parametrize("name", SAYS)
def test_a_figure_of_what_is_missing_says_what_it_needs(bare, name):
    split = "test" if "split" in FIGURES[name].options else ""
    drawing = paper.draw(name, request(bare, name, split=split))
    assert drawing.alt == SAYS[name]
    assert [text.get_text() for text in drawing.figure.texts] == [SAYS[name]]


def test_every_planned_figure_is_written(bare, tmp_path):
    values = yaml.safe_load((REPO / "config.yaml").read_text())
    figures = {"keywords": ["BOAT"], "utterances": ["u1<i>"]}
    planned = planned_figures(Plan(config.read(values | {"figures": figures})))
    assert planned.keys() >= {name for name in SAYS if "split" not in FIGURES[name].options}
    for name, figure in planned.items():
        arguments = [*figure.arguments, "--results", str(bare), "--out", str(tmp_path / f"{name}.svg")]
        done = CliRunner().invoke(app, ["figure", *arguments])
        assert done.exit_code == 0, (name, repr(done.exception))
    assert {file.stem for file in tmp_path.iterdir()} == planned.keys()


def test_an_utterance_is_drawn_with_its_codes_alone(bare):
    drawing = paper.draw("utterance", request(bare, "utterance"))
    rows = [tick.get_text().replace("\n", " ") for tick in drawing.figure.axes[1].get_yticklabels()]
    assert rows[0] == "{} → {2} quant2"
    assert len(rows) == 6
    assert drawing.alt.startswith("Spectrogram of utterance u0<i> from 0.00 to 0.60 s; above it: {} → {2} quant2")


def test_a_keyword_without_places_has_no_sounds(bare, tmp_path):
    write_sounds(request(bare, "keyword"), tmp_path / "boat.pdf")
    assert not list(tmp_path.iterdir())


def test_figures_of_a_run_without_models_are_of_its_units(tmp_path):
    for name in SYSTEMS:
        (tmp_path / name).mkdir()
    results = paper.open_results(tmp_path)
    assert [model.folder.name for model in results.models] == ["external-hubert", "kmeans"]
