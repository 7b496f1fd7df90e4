"""Whatever the files of results hold, tables, figures and pages are written or the fault names its file."""

import copy
import csv
import io
import json
import os
import random
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report import made_up

from resdavenet_vq import config
from resdavenet_vq.errors import InputError, printable
from resdavenet_vq.evaluation import comparison, score_files, summary
from resdavenet_vq.report import page, training
from resdavenet_vq.results import find

VALUES = (
    *(None, True, False, 0, -1, 3, 0.5, 1e300, -1e300, 10**30, 2**64, float("nan"), float("inf")),
    *("", "x", "nan", "\x1b[2J\x85", "\u202e", "</script>", "../../x", "x" * 2000, "\ud800"),
    *([], [1], ["x"], {}, {"x": 1}, {"": {}}, [[]], {"split": 1}),
)
CELLS = (
    "",
    "x",
    "nan",
    "inf",
    "-inf",
    "1e999",
    "-1",
    "0.5",
    "True",
    "9" * 400,
    "\x1b[2J",
    "\x00",
    "é",
    '"',
    ",",
    "\n",
    "x" * 2000,
)


def places_in(value, path=()):
    """The paths of everything in a JSON value."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places_in(inner, (*path, key))


def damaged(value, place, new):
    """A copy with another value at a place, or without the place where it is to be `...`."""
    if not place:
        return None if new is ... else new
    value = copy.deepcopy(value)
    inner = value
    for key in place[:-1]:
        inner = inner[key]
    if new is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = new
    return value


def damaged_table(text, line, column, cell):
    rows = list(csv.reader(io.StringIO(text)))
    row = rows[line % len(rows)]
    if cell is ...:
        del row[column % len(row)]
    else:
        row[column % len(row)] = cell
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


SCORES = ("none/retrieval/test.json", "none-2-23/abx/test/quant2.json", "none-2/words/quant2/test/summary.json")
TABLES = ("scores.csv", "comparison.csv", "none-2/model/history.csv", "none-2/words/quant2/test/words.csv")


def check(read, folder):
    """Runs `read`; an InputError must name a file of the folder in one printable, bounded text."""
    try:
        return read()
    except InputError as e:
        text = str(e)
        assert str(folder) in text
        assert len(text) < 25_000
        assert printable(text, keep="\n") == text or "\x1b" not in text
        return None


@pytest.fixture
def score(results):
    return [json.loads((results / name).read_text()) for name in SCORES]


@given(st.sampled_from(range(len(SCORES))), st.floats(0, 1, exclude_max=True), st.sampled_from([..., *VALUES]))
def test_any_score_file_is_summarized_or_refused(score, tmp_path, kind, place, new):
    places = list(places_in(score[kind]))
    value = damaged(score[kind], places[int(place * len(places))], new)
    path = tmp_path / "score.json"
    path.write_text(json.dumps(value))

    def summarize():
        score_files.summarize([path], "c", {}, tmp_path / "scores.csv", tmp_path / "summary.csv")
        comparison.write(tmp_path / "scores.csv", [], {}, tmp_path / "comparison.csv", tmp_path / "differences.csv")
        summary.read_comparison(tmp_path / "comparison.csv")

    check(summarize, tmp_path)


@given(
    st.sampled_from(["scores.csv", "comparison.csv"]),
    st.integers(0, 300),
    st.integers(0, 20),
    st.sampled_from([..., *CELLS]),
)
def test_any_table_of_scores_is_read_or_refused(results, tmp_path, name, line, column, cell):
    path = tmp_path / name
    path.write_text(damaged_table((results / name).read_text(), line, column, cell))
    read = summary.read_scores if name == "scores.csv" else summary.read_comparison
    table = check(lambda: read(path), tmp_path)
    if table is not None and name == "scores.csv":
        assert len(comparison.compare(table, {}))
        summary.write(summary.pivot(table), tmp_path / "summary.csv")


@given(st.sampled_from(range(2, len(TABLES))), st.integers(0, 300), st.integers(0, 20), st.sampled_from([..., *CELLS]))
def test_any_history_and_table_of_words_is_read_or_refused(results, tmp_path, number, line, column, cell):
    path = tmp_path / TABLES[number]
    if not path.parent.exists():
        shutil.copytree((results / TABLES[number]).parent, path.parent)
    path.write_text(damaged_table((results / TABLES[number]).read_text(), line, column, cell))
    (model,) = find(tmp_path, ["none-2"]).models
    if number == 2:
        history = check(lambda: model.history, tmp_path)
        assert history is None or training.best_epoch(history) in history.index
    else:
        words = check(lambda: model.words("test"), tmp_path)
        assert words is None or words[0].n_detected <= len(words[0].table)


@pytest.mark.parametrize("n", [6, pytest.param(200, marks=pytest.mark.thorough)])
def test_a_report_of_damaged_files_is_written_or_refused(folder, tmp_path, n):
    """Pages with everything that is drawn and filled in: slow, so few by default."""
    chance = random.Random(n)
    for turn in range(n):
        name = chance.choice([*SCORES, *TABLES, "none-2-23/abx/test/quant2.phones.csv"])
        sound = (folder / name).read_text()
        if name.endswith(".json"):
            value = json.loads(sound)
            place = chance.choice([place for place in places_in(value) if place])
            text = json.dumps(damaged(value, place, chance.choice([..., *VALUES])))
        else:
            text = damaged_table(sound, chance.randrange(300), chance.randrange(20), chance.choice([..., *CELLS]))
        (folder / name).write_text(text)
        settings = config.Report(utterances=1, matchmaps=False)
        try:
            page.write(folder, made_up.FOLDERS, "test", settings, tmp_path / "report")
        except InputError as e:
            assert str(folder) in str(e), (turn, name)  # noqa: PT017
        (folder / name).write_text(sound)


@pytest.mark.parametrize("name", [*SCORES[:1], *TABLES])
def test_files_that_are_none(folder, tmp_path, name):
    path = folder / name

    def read():
        data = find(folder, ["none", "none-2"])
        return [data.scores, data.comparison, *((m.history, m.retrieval("test"), m.words("test")) for m in data.models)]

    for content in (b"", b"\0" * 50, b"\xff\xfe\xff", b"[" * 10_000, b'"', b"a,b\n1,2,3\n"):
        path.write_bytes(content)
        check(read, folder)
    path.unlink()
    os.mkfifo(path)
    check(read, folder)
