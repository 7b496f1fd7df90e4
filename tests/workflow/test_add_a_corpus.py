"""The files that docs/add_a_corpus.md prints are a corpus: it is planned, and prepared for real."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from PIL import Image
from workflow.running import REPO, dry_runs, jobs_in, snakemake

from resdavenet_vq.data.store import Store

PAGE = (REPO / "docs/add_a_corpus.md").read_text()
SETTINGS, ROWS = (re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) for kind in ("yaml", "json"))
COMMANDS = re.search(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[1].splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files that the page prints, as printed, and the sound and pictures that they name."""
    folder = tmp_path_factory.mktemp("mine")
    (settings,), (rows,) = SETTINGS, ROWS
    (folder / "mine.yaml").write_text(settings)
    random = np.random.default_rng(0)
    for file in yaml.safe_load(settings)["corpus"]["metadata"].values():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(rows)
        for row in json.loads(rows)["data"]:
            wav, image = (Path(folder / file).parent / row[key] for key in ("wav", "image"))
            for path in (wav, image):
                path.parent.mkdir(exist_ok=True)
            soundfile.write(wav, random.normal(0, 0.1, 16000), 16000, "PCM_16")
            Image.fromarray(random.integers(0, 255, (80, 80, 3), np.uint8)).save(image)
    return folder


def test_everything_is_planned_as_the_page_says(folder):
    plan, _, everything = (line.split()[1:] for line in COMMANDS)
    place = ["--snakefile", str(REPO / "Snakefile"), "-q", "rules"]
    small = ["--configfile", str(REPO / "configs/small_corpus.yaml"), "mine.yaml", "--cores", "2"]
    answers = dry_runs(
        folder, [[*place, *line] for line in (plan, everything, small, [*everything, "--config", "lineages=[]"])]
    )
    assert [status for status, _ in answers] == [0, 0, 0, 0], answers
    first, second, third, without = (jobs_in(output) for _, output in answers)
    assert first == second == third, "the settings of small corpora, whether they are named or not"
    assert (first["prepare"], first["train"], first["score_retrieval"]) == (3, 2, 2)
    for some, names in ((first, ("score_abx", "detect_words")), (without, ("score_abx",))):
        assert all(any(rule.startswith(name) for rule in some) for name in names)
    assert not {"train", "score_retrieval"} & without.keys()


def test_every_row_is_prepared(folder, forking):
    command = COMMANDS[1].split()
    assert command[:3] == ["snakemake", "--cores", "all"]
    snakemake(folder, *command[3:], **forking)
    assert Store(folder / "results/mine/data/val.h5").ids == [row["uttid"] for row in json.loads(ROWS[0])["data"]]
    report = json.loads((folder / "results/mine/data/val.report.json").read_text())
    assert report["refused"] == []
