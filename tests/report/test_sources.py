"""A number leads to its file, the rule that made it, and the whole command line; other commands lead on from there."""

import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from report import made_up
from report.test_page import write_small
from typer.testing import CliRunner

from resdavenet_vq import config
from resdavenet_vq.__main__ import app
from resdavenet_vq.config.section import as_json
from resdavenet_vq.report.sources import Command, Sources
from resdavenet_vq.results import find

ROOT = "results/spoken_scenes"
LINK = re.compile(r'<a class="made" href="commands.html#([^"]*)"><data value="([^"]*)"')


def score(command, file, *more):
    return Command(command.replace("-", "_"), f"{ROOT}/logs/{command}.log", (command, *more, "--out", f"{ROOT}/{file}"))


@pytest.fixture(scope="module")
def commands():
    """Those of a model, its encodings and its scores; a file that is not there, and one of another lineage's."""
    features = ("--features", f"{ROOT}/none-2/codes/test.h5", "--settings", '{"distance": "angular"}')
    return {
        "none-2/abx/test/quant2.json": score("score-abx", "none-2/abx/test/quant2.json", *features),
        "none-2/words/quant2/test/summary.json": score("detect-words", "none-2/words/quant2/test"),
        "none-2/retrieval/test.json": score("score-retrieval", "none-2/retrieval/test.json"),
        "none-2/codes/test.h5": Command("encode", "e.log", ("encode-split", "--model", f"{ROOT}/none-2/model")),
        "none-2/model/model.json": Command("train", f"{ROOT}/logs/train/none-2.log"),
        "none-2/abx/other/quant2.json": score("score-abx", "none-2/abx/other/quant2.json"),
    }


@pytest.fixture
def written(folder, tmp_path, commands):
    (folder / "none-2/model/model.json").write_text('{"model": {"image": {}}}')
    return write_small(folder, tmp_path / "report", commands=commands)


def sections(page):
    """The section of each file, by its anchor."""
    text = (page / "commands.html").read_text()
    return {part.split('"')[0]: part for part in text.split('<section class="made" id="')[1:]}


def test_a_number_leads_to_the_command_that_made_its_file(written, folder):
    links = LINK.findall((written / "index.html").read_text())
    there = sections(written)
    assert {unquote(file) for file, _ in links} == {
        *("none-2/abx/test/quant2.json", "none-2/words/quant2/test/summary.json", "none-2/retrieval/test.json")
    }
    numbers = dict.fromkeys(there, ())
    for file, number in links:
        assert unquote(file) in there
        numbers[unquote(file)] += (float(number),)
    abx = json.loads((folder / "none-2/abx/test/quant2.json").read_text())
    recalls = json.loads((folder / "none-2/retrieval/test.json").read_text())
    assert {abx["within_error"], abx["across_error"], abx["bitrate"]["plain"]} <= set(
        numbers["none-2/abx/test/quant2.json"]
    )
    assert recalls["image_to_speech"]["recall_at_10"] in numbers["none-2/retrieval/test.json"]
    first = (written / "index.html").read_text().split("<details", 1)[0]
    assert first.count('<a class="made"') >= 5, "the verdict has links, too"


def test_a_command_line_is_whole_and_leads_to_the_commands_before_it(written):
    there = sections(written)
    assert set(there) == {
        *("none-2/abx/test/quant2.json", "none-2/words/quant2/test/summary.json", "none-2/retrieval/test.json"),
        *("none-2/codes/test.h5", "none-2/model/model.json"),
    }, "files that are there, and no others"
    line = re.sub("<[^>]*>", "", there["none-2/abx/test/quant2.json"].split("<code>")[2].split("</code>")[0])
    assert line == (
        f"resdavenet-vq score-abx --features {ROOT}/none-2/codes/test.h5 --settings "
        "&#39;{&#34;distance&#34;: &#34;angular&#34;}&#39; "
        f"--out {ROOT}/none-2/abx/test/quant2.json"
    )
    assert 'href="#none-2/codes/test.h5"' in there["none-2/abx/test/quant2.json"]
    assert 'href="#none-2/model/model.json"' in there["none-2/codes/test.h5"]
    assert f"snakemake --cores all {ROOT}/none-2/model/model.json" in there["none-2/model/model.json"]
    assert next(iter(there)) == "none-2/model/model.json", "the training comes first"


def test_without_commands_there_is_neither_page_nor_link(results, report):
    assert not (report / "commands.html").exists()
    assert 'class="made"' not in (report / "index.html").read_text()
    assert Sources(find(results, made_up.SYSTEMS), {}).content() is None


def test_a_number_of_one_seed_leads_to_its_own_file_and_a_mean_to_none(folder, commands):
    made_up.copy_as_seed(folder, "none-2", 3)
    made_up.summarize(folder)
    other = "none-2-seed3/abx/test/quant2.json"
    sources = Sources(find(folder, [*made_up.FOLDERS, "none-2-seed3"]), commands | {other: score("score-abx", other)})
    place = "{}->{2}", "quant2", ("abx", "test", "within")
    assert sources.file(*place, seed=3) == other
    assert sources.file(*place, seed=8675309) == "none-2/abx/test/quant2.json", "of the configured seed"
    assert sources.file(*place) == ""


def test_a_report_of_the_workflow_has_the_commands_of_its_configuration(folder, tmp_path):
    settings = config.read(yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text()))
    options = ["--results", str(folder), "--systems", "baseline,none-2", "--settings", "{}"]
    options += ["--out", str(tmp_path / "report"), "--config", as_json(settings)]
    done = CliRunner().invoke(app, ["write-report", *options])
    assert done.exit_code == 0, repr(done.exception)
    there = sections(tmp_path / "report")
    assert {"baseline/abx/test/logmel.json", "none-2/abx/test/quant2.json", "none-2/retrieval/test.json"} <= set(there)
    assert "none-2/words/quant2/test/summary.json" in there
    assert "resdavenet-vq score-abx" in there["none-2/abx/test/quant2.json"]
    assert all(file.startswith(("baseline/", "none-2/")) for file in there), "of the systems of the report"
