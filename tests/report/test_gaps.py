"""Reports of corpora that lack something: every page is there, says what was not measured, and nothing else of it."""

import re
import shutil

import pytest
from report import made_up
from report.test_page import PAGES, Reader, in_page, pieces
from typer.testing import CliRunner

from resdavenet_vq import config
from resdavenet_vq.__main__ import app
from resdavenet_vq.evaluation.availability import NO_IMAGE_BRANCH, NO_SYLLABLES, NO_WORDS
from resdavenet_vq.files import read_json, write_json
from resdavenet_vq.report import page
from resdavenet_vq.report.gaps import lines
from resdavenet_vq.results import find

LACKS = {
    "words": ("words",),
    "phones": ("phones",),
    "pictures": ("image", "text", "speaker"),
    "all": ("words", "phones", "image", "text", "speaker"),
}

SAID = {
    "words": {
        "index.html": {"Words on test: needs aligned words.", "Words held out on test: needs aligned words."},
        "words.html": {"Words on test: needs aligned words.", "Words held out on test: needs aligned words."},
        "units.html": {"Words and phones of codes: needs aligned words."},
        "utterances.html": {"Words above the spectrogram: needs aligned words."},
    },
    "phones": {page: {"ABX on test: needs aligned phones."} for page in ("index.html", "abx.html")},
    "pictures": {page: {"Retrieval on test: needs images."} for page in ("index.html", "retrieval.html")},
}
SAID["all"] = {name: {line for said in SAID.values() for line in said.get(name, ())} for name in PAGES}


@pytest.fixture(scope="module", params=LACKS)
def lacking(request, tmp_path_factory):
    """The name of what a corpus lacks, its results and its report."""
    top = tmp_path_factory.mktemp(request.param)
    rows = made_up.without(made_up.utterances(top, 12), *LACKS[request.param])
    results = top / "results" / "spoken_scenes"
    made_up.build(results, rows)
    page.write(results, made_up.SYSTEMS, "test", config.Report(utterances=3, occurrences=2), top / "report")
    return request.param, results, top / "report"


def test_every_page_is_there_and_says_what_was_not_measured(lacking):
    name, _, report = lacking
    assert {file.name for file in report.glob("*.html")} == set(PAGES)
    for file in PAGES:
        words = " ".join("".join(Reader((report / file).read_text()).words).split())
        lines = set(re.findall(r"[A-Z][\w ]+: needs [a-z ]+\.", words))
        assert lines == SAID[name].get(file, set()), file


def test_nothing_is_empty_or_no_word_of_people(lacking):
    """Cells of tables, and the values that pages hand to their scripts."""
    *_, report = lacking
    for file in PAGES:
        text = (report / file).read_text()
        assert not re.search(r"\b(nan|NaN|None|undefined|inf)\b", re.sub(r"<script.*?</script>", "", text)), file
        for cells in re.findall(r"<t(?:head|body)>.*?</t(?:head|body)>", text, re.DOTALL):
            for attributes, cell in re.findall(r"<t[dh]\b([^>]*)>(.*?)</t[dh]>", cells, re.DOTALL):
                assert re.sub("<[^>]*>", "", cell).strip() or "colspan" in attributes, (file, cells)
    assert pieces(report), "all data are JSON, which has no NaN"


def test_the_overview_claims_nothing_of_what_was_not_measured(lacking):
    name, _, report = lacking
    text = (report / "index.html").read_text()
    claims = {
        "words": ("Words detected", "higher for words", "words-above", "poor word table", "Words with F1"),
        "phones": ("ABX error", "Lower is better for errors", "beats the log-mel", "ABX on the split"),
        "pictures": ("R@10", "Retrieval, and how", "Retrieval can"),
    }
    shown = re.sub(r"Read it together with the ABX error: either alone is easily made good\.", "", text)
    for lacked, texts in claims.items():
        if name in {lacked, "all"}:
            assert not [claim for claim in texts if claim in shown], lacked
        else:
            assert texts[0] in shown, lacked


def test_codes_are_listed_by_use_where_no_word_is_aligned(lacking):
    name, _, report = lacking
    data, text = pieces(report), (report / "units.html").read_text()
    codes = [row for piece, value in data.items() if re.fullmatch(r"layer-\d+", piece) for row in value["codes"]]
    has_words = name in {"phones", "pictures"}
    assert {silence is None for _, _, _, silence, _, _ in codes} == {not has_words}, "no share of silence is made up"
    assert any(word for *_, word, _ in codes) == has_words
    assert ("<legend>Look at" in text, 'value="word"' in text) == (has_words, has_words)
    assert all(frames >= occurrences > 0 for _, frames, occurrences, *_ in codes)
    assert any(detail["places"] for piece in data if "codes" in piece for detail in data[piece].values())


def test_an_utterance_has_what_the_corpus_has(lacking):
    name, _, report = lacking
    lacks = LACKS[name]
    for u in [u for piece in pieces(report, "utterances-*").values() for u in piece]:
        assert {field: u[field] is None for field in ("words", "image", "text", "speaker")} == {
            field: field in lacks for field in ("words", "image", "text", "speaker")
        }
        assert len(u["codes"]) == 6
        assert (report / f"data/spectrogram-{u['number']}.js").is_file()
    text = (report / "utterances.html").read_text()
    assert ('id="search"' in text) == (not {"words", "text"} <= set(lacks)), "where there is nothing to find"


@pytest.mark.parametrize("form", ["markdown", "latex", "csv"])
@pytest.mark.parametrize("kind", ["retrieval", "abx", "words"])
def test_a_table_says_what_its_scores_need(lacking, kind, form):
    name, results, _ = lacking
    needs = {"retrieval": "needs images", "abx": "needs aligned phones", "words": "needs aligned words"}[kind]
    lacked = {"retrieval": "pictures", "abx": "phones", "words": "words"}[kind]
    done = CliRunner().invoke(app, ["table", kind, "--results", str(results), "--format", form])
    assert done.exit_code == 0, repr(done.exception)
    places, systems = {"retrieval": (1, 3), "abx": (2, 12), "words": (2, 7)}[kind]
    assert done.output.count(needs) == (places * systems if name in {lacked, "all"} else 0)
    assert done.output.count("needs") == done.output.count(needs)
    assert not re.search(r"\b(nan|None)\b", done.output)


def write(folder, out, split="test"):
    page.write(folder, made_up.SYSTEMS, split, config.Report(utterances=1), out / "report")
    return {file.name: file.read_text() for file in (out / "report").glob("*.html")}


def without_image_branch(folder, lineage="none"):
    """One model's retrieval is not available."""
    file = folder / lineage / "retrieval/test.json"
    kept = {name: value for name, value in read_json(file).items() if name in {"lineage", "origin"}}
    write_json(file, kept | {"not_available": NO_IMAGE_BRANCH, "conditions": {"split": "test"}})
    made_up.summarize(folder)


def test_a_model_without_an_image_branch_is_named_beside_those_that_have_one(folder, tmp_path):
    without_image_branch(folder)
    without_image_branch(folder, "none-2")
    pages = write(folder, tmp_path)
    for name in ("index.html", "retrieval.html"):
        assert '<p class="quiet">Retrieval on test, {}, {} → {2}: needs an image branch.</p>' in pages[name]
    cell = '<td><span class="unknown">needs an image branch</span></td>'
    verdict, everything = pages["index.html"].split("All models and layers", 1)
    assert verdict.count(cell) == 1, "without a score of its own, {} has no row"
    assert everything.split("What the numbers mean")[0].count(cell) == 2 * 2, (
        "R@10 and what chance earns, in a row for each model"
    )
    done = CliRunner().invoke(app, ["table", "retrieval", "--results", str(folder)])
    assert "| {} | " + " | ".join(["needs an image branch"] * 7) + " |" in done.output


def test_words_held_out_may_be_missing_alone(folder, tmp_path):
    for file in folder.glob("*/words/*/test/summary.json"):
        gap = {"held_out": None, "not_available": {"held_out": "the split has no aligned words"}}
        write_json(file, read_json(file) | gap)
        table = file.with_name("words.csv")
        columns = table.read_text().splitlines()[0]
        assert "held_out_f1" in columns
    made_up.summarize(folder)
    pages = write(folder, tmp_path)
    assert "Words held out on test: needs aligned words." in pages["words.html"]
    assert "Words on test" not in pages["words.html"]
    assert "Held out F1" not in pages["words.html"]
    assert '<button type="button">F1 (%)</button>' in pages["words.html"]
    assert "Words detected" in pages["index.html"]


def test_without_a_split_there_are_no_utterances_and_words_that_are_off_are_not_read(folder, tmp_path):
    """Files of an earlier run with words are of another model by now."""
    for file in folder.glob("none-2*/words/*/test/summary.json"):
        value = read_json(file)
        write_json(file, value | {"origin": value["origin"] | {"model": "9" * 64}})
    scores = folder / "scores.csv"
    lines = scores.read_text().splitlines(keepends=True)
    scores.write_text("".join(line for line in lines if not re.search(r",(words|units),", line)))
    pages = write(folder, tmp_path)
    assert set(PAGES) - pages.keys() == {"words.html"}
    assert "words.html" not in pages["index.html"]
    options = ["--results", str(folder), "--systems", "none-2,baseline", "--out", str(tmp_path / "other")]
    done = CliRunner().invoke(app, ["write-report", *options, "--settings", "{}"])
    assert done.exit_code == 0, repr(done.exception)
    names = {file.name for file in (tmp_path / "other").glob("*.html")}
    assert set(PAGES) - names == {"words.html", "units.html", "utterances.html"}


def test_a_run_without_models_is_reported(folder, tmp_path):
    for name in made_up.FOLDERS:
        shutil.rmtree(folder / name)
    made_up.summarize(folder)
    systems = [name for name in made_up.SYSTEMS if name not in made_up.FOLDERS]
    page.write(folder, systems, "test", config.Report(utterances=1), tmp_path / "report")
    pages = {file.name: file.read_text() for file in (tmp_path / "report").glob("*.html")}
    assert pages.keys() == set(PAGES) - {"training.html", "retrieval.html"}
    assert "Units and features of speech, compared." in pages["index.html"]
    assert not re.search("0 models|last model|checkpoint of a model|Models are bold", pages["index.html"])


def test_nothing_measured_is_said(folder, tmp_path):
    for table in ("scores", "comparison", "summary", "differences"):
        file = folder / f"{table}.csv"
        file.write_text(file.read_text().splitlines(keepends=True)[0])
    for pattern in ("*/retrieval", "*/abx", "*/words"):
        for path in folder.glob(pattern):
            shutil.rmtree(path)
    pages = write(folder, tmp_path)
    assert pages.keys() == set(PAGES) - {"words.html", "retrieval.html", "abx.html"}
    assert "<p>Nothing was measured.</p>" in pages["index.html"]


def test_gaps_are_of_the_systems_and_splits_of_the_tables(folder):
    """Neither of a model nor of a split that is not evaluated any more, nor of noisy copies, which have their own table."""
    without_image_branch(folder)
    (gaps,) = {tuple(gap[:2]) + gap[3:] for gap in find(folder, []).gaps}
    assert gaps == ("retrieval", "test", "{}", "", "needs an image branch")
    assert sorted(gap.condition for gap in find(folder, []).gaps) == ["image_to_speech", "mean", "speech_to_image"]
    value = read_json(folder / "none/retrieval/test.json")
    abx = read_json(folder / "none-2/abx/test/quant2.json")
    for place, content in (
        ("none/retrieval/test.white_10dB.json", value | {"conditions": {"split": "test.white_10dB"}}),
        ("none/retrieval/val.json", value | {"conditions": {"split": "val"}}),
        ("3/retrieval/test.json", value | {"lineage": "{3}"}),
        ("3/abx/test/quant2.json", abx | {"lineage": "{3}"}),
    ):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        write_json(folder / place, content)
    assert len(find(folder, []).gaps) == 3


def test_items_of_abx_have_a_line_each(folder):
    file = folder / "none-2/abx/test/quant2.json"
    for items, reason in (("word", NO_WORDS), ("syllable", NO_SYLLABLES)):
        gap = {"within_error": None, "across_error": None, "condition": items, "not_available": reason}
        (file.parent / items).mkdir()
        write_json(file.parent / items / file.name, read_json(file) | gap)
    assert lines(find(folder, []), "abx") == [
        "ABX of syllables on test: needs aligned syllables.",
        "ABX of words on test: needs aligned words.",
    ]
    table = CliRunner().invoke(app, ["table", "abx", "--results", str(folder)]).output
    assert "| test syllable within | test syllable across |" in table
    assert table.count("needs aligned syllables") == table.count("needs aligned words") == 2


def test_systems_without_any_score_have_gaps_alone(folder):
    """Retrieval is all that is evaluated, and there are no images: scores.csv has a header only."""
    for name in made_up.FOLDERS:
        without_image_branch(folder, name)
    for pattern in ("*/abx", "*/words"):
        for path in folder.glob(pattern):
            shutil.rmtree(path)
    scores = folder / "scores.csv"
    scores.write_text(scores.read_text().splitlines(keepends=True)[0])
    assert {gap.lineage for gap in find(folder, []).gaps} == set(made_up.LINEAGES)


def test_the_explorer_knows_what_the_split_has(lacking):
    name, _, report = lacking
    about = in_page((report / "units.html").read_text(), "about")
    assert about["has"] == sorted({"words", "phones", "text"} - set(LACKS[name]))
    assert about["needs"] == ("" if "words" in about["has"] else "needs aligned words")
