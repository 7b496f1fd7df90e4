"""The figures that a configuration asks for, and that any word or id reaches the command as it is."""

import itertools
import subprocess
from pathlib import Path

from workflow import planner
from workflow.plans import plan_of, values_of

from resdavenet_vq.figures.registry import FIGURES
from resdavenet_vq.workflow.figures import planned_figures

ROOT = "results/spoken_scenes"


def planned(**sections):
    return planned_figures(plan_of(**{"lineages": ["{}", "{}->{2}"], "seeds": [8675309, 1]} | sections))


def test_every_figure_is_planned_with_what_it_reads():
    figures = planned(figures={"utterances": ["a b", "c"], "keywords": ["SNOW"]})
    of_scores = {"retrieval", "abx-test", "abx-abx", "bitrate-abx-test", "bitrate-abx-abx"}
    assert {name for name, figure in figures.items() if figure.inputs == [f"{ROOT}/scores.csv"]} == of_scores
    examples = {"utterance-1", "utterance-2", "keyword-1"}
    others = {"words", "training", "codebooks", "precision-recall", "words-above"}
    assert figures.keys() - of_scores == others | examples
    assert len(figures["training"].inputs) == 4
    words = [f"{ROOT}/{folder}/words/quant2/test/summary.json" for folder in ("none-2", "none-2-seed1")]
    assert figures["words-above"].inputs == words[:1]
    assert figures["words"].inputs == [f"{ROOT}/scores.csv", *words]
    assert figures["utterance-1"].data == [f"{ROOT}/data/test.h5", f"{ROOT}/none-2/codes/test.h5"]
    assert "--utterance=a b" in figures["utterance-1"].arguments
    assert all(figure.arguments[0] in FIGURES for figure in figures.values())


def test_without_quantizers_and_abx_there_are_fewer():
    figures = planned(lineages=["{}"], abx={"splits": []})
    assert figures.keys() == {"retrieval", "training", "utterance-1"}


def test_any_word_and_id_reaches_the_command_as_it_is(checkout, tmp_path):
    words, ids = ["DON'T", "$(touch${IFS}a)", 'say"', "-x", "`b`", "A&B"], ["it's one", "$(touch b)", "--help"]
    values = values_of(figures={"keywords": words, "utterances": ids, "formats": ["pdf", "svg"]})
    question = {"do": "jobs", "folder": tmp_path, "config": values, "targets": ["figures"]}
    (jobs,) = planner.ask(checkout, [question])
    drawn = {}
    for job in jobs:
        if job["rule"] == "draw_figure":
            Path(tmp_path, job["log"][0]).parent.mkdir(parents=True, exist_ok=True)
            script = f"python() {{ printf '%s\\0' \"$@\"; }}; {job['shellcmd']}"
            run = subprocess.run(["bash", "-euc", script], cwd=tmp_path, capture_output=True, text=True, check=True)
            arguments = run.stdout.split("\0")
            assert arguments[:3] == ["-m", "resdavenet_vq", "figure"]
            assert arguments[arguments.index("--results") + 1] == ROOT
            outs = [after for option, after in itertools.pairwise(arguments) if option == "--out"]
            assert outs == job["output"]
            drawn[Path(outs[0]).stem] = arguments
    for number, word in enumerate(words, 1):
        assert f"--word={word}" in drawn[f"keyword-{number}"]
    for number, utterance_id in enumerate(ids, 1):
        assert f"--utterance={utterance_id}" in drawn[f"utterance-{number}"]
    assert not list(tmp_path.glob("a")) + list(tmp_path.glob("b"))
