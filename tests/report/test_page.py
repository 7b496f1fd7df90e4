"""The report holds every number, needs nothing but its folder, and trusts no text of the corpus."""

from __future__ import annotations

import csv
import html.parser
import re
import shutil
from urllib.parse import urlsplit

import pytest
from report import made_up as made

from resdavenet_vq import config, textgrid
from resdavenet_vq.errors import InputError
from resdavenet_vq.report import page

PAGES = ["index.html", "training.html", "words.html", "utterances.html", "retrieval.html", "abx.html"]


class Reader(html.parser.HTMLParser):
    """Collects what a page refers to, its exact numbers, its headings, its images' alternative texts, its text and its scripts."""

    def __init__(self, text):
        super().__init__()
        self.references, self.numbers, self.headings, self.alts, self.words, self.scripts, self.unlabelled, self.ids = (
            [],
            [],
            [],
            [],
            [],
            0,
            0,
            [],
        )
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.references += [values[k] for k in ("src", "href", "poster", "srcset", "action") if k in values]
        self.ids += [values["id"]] if "id" in values else []
        if tag == "data":
            self.numbers.append(values["value"])
        if tag == "img":
            self.alts.append(values.get("alt"))
            assert values["width"]
            assert values["height"], "a picture without its size makes the page jump"
        if tag == "audio":
            self.unlabelled += not values.get("aria-label")
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self.scripts += tag == "script"
        assert not any(k.startswith("on") for k in values)

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def report(results, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "report"
    page.write(results, made.LINEAGES, "test", config.Report(utterances=3), out)
    return out


@pytest.fixture(scope="module")
def read(report):
    return {name: Reader((report / name).read_text()) for name in PAGES}


def test_the_overview_has_every_number_of_the_summary(results, read):
    with (results / "summary.csv").open() as f:
        rows = list(csv.DictReader(f))
    shown = read["index.html"]
    values = [v for row in rows for k, v in row.items() if k not in ("lineage", "layer") and v]
    assert values
    text = "".join(shown.words)
    assert [v for v in values if v not in shown.numbers and v not in text] == []
    assert not any(v in text and v not in shown.numbers for v in values if v[0].isdigit())
    assert "Further numbers" not in text, "every column of the summary is explained"
    assert all(row["lineage"].replace("->", " → ") in text and row["layer"] in text for row in rows)


def test_a_column_that_nobody_explained_is_shown_all_the_same(results, tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "summary.csv").write_text("lineage,layer,something_new\n{},,0.000123456\n")
    page.write(folder, ["none"], "test", config.Report(), tmp_path / "report")
    shown = Reader((tmp_path / "report/index.html").read_text())
    assert shown.numbers == ["0.000123456"]
    assert "Something new" in "".join(shown.words)


def test_other_pages_have_the_numbers_of_their_files(read):
    assert {"14.0", "19.599999999999998", "412.4"} <= set(read["abx.html"].numbers)
    words = "".join(read["words.html"].words)
    assert all(word in words for word in ("NULL", "LAKE", "<SIL>"))


def test_every_reference_is_a_file_of_the_folder_and_none_leads_outside(report, read):
    for name, shown in read.items():
        for reference in shown.references:
            parts = urlsplit(reference)
            assert not parts.scheme, (name, reference)
            assert not parts.netloc, (name, reference)
            target = report / parts.path if parts.path else report / name
            assert target.is_file(), (name, reference)
            assert report in target.resolve().parents
            if parts.fragment:
                assert parts.fragment in read[name].ids
    used = {r for shown in read.values() for r in shown.references} | set(PAGES)
    files = {str(p.relative_to(report)) for p in report.rglob("*") if p.is_file()}
    assert files - used == set(), "every file is shown somewhere"
    for file in (*report.glob("assets/*"), *report.glob("figures/*.svg")):
        text = file.read_text()
        assert "@import" not in text
        assert not re.search(r"""(?:href|src|url\()\s*=?\s*["']?\s*(?:https?:)?//""", text), file


def test_text_of_the_corpus_is_escaped(report, read):
    for name in PAGES:
        text = (report / name).read_text()
        assert read[name].scripts == 1, "our own script, and none of the corpus"
        assert "<script>alert" not in text
        assert "TREE<b>" not in text
        assert "u1<i>" not in text
    shown = "".join(read["utterances.html"].words)
    assert made.NASTY in shown
    assert f"{made.NASTY} red tree" in "".join(read["retrieval.html"].words)
    assert "TREE<b>" in "".join(read["words.html"].words)


def test_pages_are_readable_without_seeing(report, read):
    for name, shown in read.items():
        text = (report / name).read_text()
        assert shown.headings[0] == 1
        assert shown.headings.count(1) == 1
        assert all(b - a <= 1 for a, b in zip(shown.headings, shown.headings[1:], strict=False)), f"{name} leaves out a level of headings"
        assert all(shown.alts), name
        assert not shown.unlabelled
        assert 'lang="en"' in text
        assert 'class="skip" href="#main"' in text
        assert text.count('aria-current="page"') == 1
        assert len(shown.ids) == len(set(shown.ids))
        assert not re.search(r"<table(?![^<]*\n?\s*<(?:thead|tbody))", text)


def test_utterances_come_with_sound_image_and_textgrid(results, report, read):
    assert len(list(report.glob("textgrids/*"))) == 3
    tiers = textgrid.read(report / "textgrids/utterance-01.TextGrid")
    assert "words" in tiers
    assert list(tiers)[-3:] == ["{} → {2} quant2", "{} → {2} → {2,3} quant2", "{} → {2} → {2,3} quant3"]
    assert len(read["utterances.html"].alts) == 6, "a figure and an image each"


def test_the_same_choice_each_time_and_another_with_another_seed(results, tmp_path):
    texts = []
    for number, seed in enumerate((0, 0, 1)):
        out = tmp_path / str(number)
        page.write(results, ["none"], "test", config.Report(utterances=3, seed=seed), out)
        texts.append({p.name: p.read_bytes() for p in out.rglob("*") if p.is_file()})
    assert texts[0] == texts[1]
    assert texts[0]["utterances.html"] != texts[2]["utterances.html"]


def remove(folder, *patterns):
    for pattern in patterns:
        for path in list(folder.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize(
    ("patterns", "missing"),
    [
        (["*/abx"], {"abx.html"}),
        (["*/words"], {"words.html"}),
        (["*/retrieval.json"], {"retrieval.html"}),
        (["*/model"], {"training.html"}),
        (["data", "*/codes"], {"utterances.html"}),
        (["data"], set()),
        (["*/codes"], set()),
        (["*/abx", "*/words", "*/retrieval.json", "*/model", "data", "*/codes"], set(PAGES) - {"index.html"}),
    ],
)
def test_what_was_not_computed_has_no_page(results, tmp_path, patterns, missing):
    folder = tmp_path / "results"
    shutil.copytree(results, folder)
    remove(folder, *patterns)
    page.write(folder, made.FOLDERS, "test", config.Report(utterances=1), tmp_path / "report")
    assert set(PAGES) - {p.name for p in (tmp_path / "report").glob("*.html")} == missing
    links = Reader((tmp_path / "report/index.html").read_text()).references
    assert not missing & set(links)


def test_an_old_report_is_replaced_and_nothing_is_left_beside(results, tmp_path):
    out = tmp_path / "report"
    out.mkdir()
    (out / "old.html").write_text("old")
    page.write(results, ["none"], "test", config.Report(utterances=1), out)
    assert not (out / "old.html").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["report"]


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda r: (r / "summary.csv").unlink(), "summary.csv"),
        (lambda r: (r / "none-2/retrieval.json").write_text("{"), "retrieval.json"),
        (lambda r: (r / "none-2/codes/test.h5").write_bytes(b"nothing"), "test.h5"),
        (lambda r: (r / "none-2/words/quant2/words.csv").write_text("a,b\n1,2\n"), "words.csv"),
        (lambda r: (r / "none-2/model/history.csv").write_text(""), "history.csv"),
        (lambda r: (r / "data/test.h5").write_bytes(b"nothing"), "test.h5"),
    ],
)
@pytest.mark.parametrize("before", [False, True])
def test_a_failure_leaves_the_old_report_or_none(results, tmp_path, damage, named, before):
    folder, out = tmp_path / "results", tmp_path / "out" / "report"
    shutil.copytree(results, folder)
    damage(folder)
    out.parent.mkdir()
    if before:
        out.mkdir()
        (out / "index.html").write_text("old")
    with pytest.raises(InputError, match=re.escape(named)):
        page.write(folder, ["none-2"], "test", config.Report(utterances=1), out)
    assert [str(p.relative_to(out.parent)) for p in sorted(out.parent.rglob("*"))] == (["report", "report/index.html"] if before else [])


def test_a_lineage_that_is_none_is_refused(results, tmp_path):
    with pytest.raises(InputError, match="lineage"):
        page.write(results, ["32"], "test", config.Report(), tmp_path / "report")
    assert list(tmp_path.iterdir()) == []
