"""The notebook shows what is in a folder of results; what is kept of its last run is small and of no machine."""

import base64
import csv
import io
import itertools
import json
import re
import xml.etree.ElementTree as ET
from collections import Counter

import h5py
import nbformat
import oracles.evaluation as oracle
import pytest
import soundfile
import torch
import yaml
from encoded import relabelled
from report.made_up import FOLDERS, LINEAGES, build, origin_of, score_words, summarize, utterances

from notebooks.run import NOTEBOOK, execute, keep
from resdavenet_vq import config
from resdavenet_vq.encode.split import encode
from resdavenet_vq.model import checkpoint
from resdavenet_vq.model.dual_encoder import DualEncoder

MODEL, LAYER = FOLDERS[-1], "quant3"
FIGURES, BEFORE_OCCURRENCES = 7, 1
"""Pictures drawn, and sounds before those of the code's places."""


def has(output, kind):
    return kind in output.get("data", {})


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def pages(notebook, tag):
    """The HTML outputs with a tag."""
    texts = (output.get("data", {}).get("text/html", "") for output in outputs(notebook))
    return [text for text in texts if tag in text]


def tables(notebook):
    """Every table as its rows of texts, the head first."""
    rows = (ET.fromstring(page).iter("tr") for page in pages(notebook, "<table"))
    return [[["".join(cell.itertext()) for cell in row] for row in table] for table in rows]


def sounds(notebook):
    """Every sound's samples and their rate."""
    texts = (re.search(r"base64,([^\"]+)\"", page)[1] for page in pages(notebook, "<audio"))
    return [soundfile.read(io.BytesIO(base64.b64decode(text))) for text in texts]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A made-up folder of results whose last model is a real one, untrained, with its own codes, words and maps."""
    root = tmp_path_factory.mktemp("run") / "results/spoken_scenes"
    build(root, utterances(tmp_path_factory.mktemp("corpus"), 12))
    torch.manual_seed(0)
    settings = config.Model(
        audio=config.AudioModel(widths=(4, 6, 6, 8, 10), blocks_per_stage=1),
        image=config.ImageModel(architecture="thin_resnet", widths=(4, 4, 4, 10), crop=24, resize=28),
        quantizer=config.QuantizerModel(codebook_size=8, init_nonnegative=True),
    )
    folder, store = root / MODEL, root / "data/test.h5"
    checkpoint.save(folder / "model", DualEncoder(settings, (2, 3)), {"lineage": LINEAGES[-1]})
    encode(folder / "model", store, codes=folder / "codes/test.h5", maps=folder / "maps/test.h5")
    for kind in ("codes", "maps"):  # made-up scores are of the same model
        relabelled(folder / kind / "test.h5", model=origin_of(len(LINEAGES) - 1, LINEAGES[-1]).model)
    score_words(folder, ("quant2", LAYER), LINEAGES[-1])
    summarize(root)
    return root


@pytest.fixture(scope="module")
def ran(results, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        return execute(results)


def test_every_cell_runs_and_warns_of_nothing(ran):
    assert [output for output in outputs(ran) if output.output_type == "error" or output.get("name") == "stderr"] == []
    pictures = [output for output in outputs(ran) if has(output, "image/png")]
    figures = [picture for picture in pictures if picture.metadata.get("image/png", {}).get("alt")]
    assert len(figures) == FIGURES + 1, "the caption's own picture is a PNG here"


def test_the_first_tables_have_the_numbers_of_the_scores(ran, results):
    (head, *rows), (spread_head, *spread) = tables(ran)[:2]
    names = ["retrieval test mean recall_at_10", "abx test across error", "bitrate test plain bits_per_second"]
    names = ["lineage", "layer", *names, "words test held_out words_above_f1"]
    with (results / "summary.csv").open(newline="") as f:
        summary = [[row[name] for name in names] for row in csv.DictReader(f)]
    assert head == names
    texts = ([*row[:2], *(value and f"{float(value):.3g}" for value in row[2:])] for row in summary)
    assert rows == [row for row in texts if any(row[2:])]
    recall = {row[0]: row[2] for row in rows if row[2]}
    assert {row[0]: row[spread_head.index("mean")] for row in spread} == recall
    assert len(recall) == len(LINEAGES)


def places(results, code):
    """(frames, word at the middle) of every run of a code in the file, one after another."""
    with h5py.File(results / MODEL / "codes/test.h5") as f:
        codes, offsets = f[LAYER]["codes"][:].tolist(), f[LAYER]["offsets"][:].tolist()
        spoken = [json.loads(row)["words"] for row in f["manifest"][:]]
    for words, (start, stop) in zip(spoken, itertools.pairwise(offsets), strict=True):
        for first, frames, run_code in oracle.runs(codes[start:stop]):
            middle = round(0.04 * (first + frames / 2), 9)
            if run_code == code:
                yield frames, next((label for begin, end, label in words if begin <= middle < end), "(silence)")


def test_the_places_of_the_code_are_those_in_the_codes_file(ran, results):
    words = tables(ran)[2]
    code = int(words[1][words[0].index("code")])
    lengths, labels = zip(*places(results, code), strict=True)
    head, *counts = tables(ran)[3]
    assert head == ["word", f"places of code {code}"]
    assert {word: int(n) for word, n in counts} == Counter(labels)
    heard = sounds(ran)[BEFORE_OCCURRENCES:]
    assert len(heard) == min(4, len(lengths))
    for (samples, rate), frames in zip(heard, lengths, strict=False):
        shortest = 0.04 * frames - 0.04  # at the end of an utterance
        assert shortest < len(samples) / rate <= 0.04 * frames + 0.4 + 1e-3


def test_a_recordings_units_are_those_of_the_workflow(ran):
    said = "".join(output.text for output in outputs(ran) if output.get("name") == "stdout")
    assert "as the workflow wrote them: True" in said
    assert tables(ran)[-1][0] == ["code", "onset", "offset", "frames"]


def test_what_is_kept_has_its_pictures_and_no_sound(ran):
    kept = nbformat.from_dict(ran)
    assert sounds(kept)
    keep(kept)
    nbformat.validate(kept)
    assert sounds(kept) == []
    before, after = (sum(has(output, "image/png") for output in outputs(notebook)) for notebook in (ran, kept))
    assert before == after >= FIGURES
    assert tables(kept) == tables(ran)


@pytest.fixture(scope="module")
def stored():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_the_stored_run_is_whole_and_small(stored):
    cells = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    assert sounds(stored) == []
    pictures = [base64.b64decode(output.data["image/png"]) for output in outputs(stored) if has(output, "image/png")]
    assert len(pictures) == FIGURES
    assert sum(map(len, pictures)) <= 150_000


def test_the_stored_run_tells_of_no_machine(stored):
    traces = re.compile(r"/(home|root|tmp|usr|Users)/|Traceback|Warning")
    assert [line for line in nbformat.writes(stored).splitlines() if traces.search(line)] == []
    assert stored.metadata.language_info == {"name": "python"}


def test_cells_are_short(stored):
    lengths = {cell.id: len(cell.source.splitlines()) for cell in stored.cells if cell.cell_type == "code"}
    assert {identity: n for identity, n in lengths.items() if n > 15} == {}


def test_the_notebook_looks_at_the_demo_unless_told_otherwise(stored):
    first = next(cell.source for cell in stored.cells if cell.cell_type == "code")
    default = re.search(r'environ\.get\("RESDAVENET_VQ_RESULTS", "([^"]+)"\)', first)[1]
    repository = NOTEBOOK.parents[1]
    demo = yaml.safe_load((repository / "config.yaml").read_text())["corpus"]["name"]
    assert (NOTEBOOK.parent / default).resolve() == repository / "results" / demo
