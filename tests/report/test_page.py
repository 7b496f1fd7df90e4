"""The report holds every number, needs nothing but its folder, and trusts no text of the corpus."""

import base64
import html.parser
import io
import json
import math
import re
import shutil
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from report import made_up

from resdavenet_vq import config
from resdavenet_vq.data.store import Store
from resdavenet_vq.encode.codes import CodesFile
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation.score_files import summarize_noise
from resdavenet_vq.evaluation.summary import read_scores
from resdavenet_vq.figures import interactive
from resdavenet_vq.report import assets, page

PAGES = ["index.html", "training.html", "words.html", "units.html", "utterances.html", "retrieval.html", "abx.html"]


def pieces(report, pattern="*"):
    """The data of the pages by their names, as a browser would get them."""
    values = {}
    for file in sorted(report.glob(f"data/{pattern}.js")):
        name, value = re.fullmatch(r'report\.receive\("([^"]*)",(.*)\);\n', file.read_text(), re.DOTALL).groups()
        assert name == file.stem
        values[name] = json.loads(value)
    return values


def in_page(text, identity):
    """The JSON that a page hands to its scripts."""
    return json.loads(re.search(rf'<script type="application/json" id="{identity}">(.*?)</script>', text, re.DOTALL)[1])


class Reader(html.parser.HTMLParser):
    """Collects references, exact numbers, levels of headings, images' alternative texts, texts, ids and scripts."""

    def __init__(self, text):
        super().__init__()
        self.references, self.numbers, self.headings, self.alts, self.words, self.ids = ([] for _ in range(6))
        self.scripts = self.unlabelled = 0
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
        self.scripts += tag == "script" and "src" in values
        assert tag != "script" or "src" in values or values["type"] == "application/json"
        assert not any(k.startswith("on") for k in values)

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def read(report):
    return {name: Reader((report / name).read_text()) for name in PAGES}


def test_the_overview_has_every_score(results, read):
    scores = read_scores(results / "scores.csv")
    page_numbers, text = {float(number) for number in read["index.html"].numbers}, "".join(read["index.html"].words)
    assert set(scores["value"]) - page_numbers == set()
    assert set(scores["n"][scores["condition"] != "mean"].dropna()) - page_numbers == set()
    assert "Further numbers" not in text, "every score is explained"
    assert all(lineage.replace("->", " → ") in text for lineage in scores["lineage"])
    assert all(layer in text for layer in scores["layer"])
    for condition in ("distance angular, DTW", "best 250", "held out split test"):
        assert condition in " ".join(text.split())


def test_the_verdict_comes_first_with_intervals_and_all_else_is_folded(report, read):
    text = (report / "index.html").read_text()
    first, folded = text.split("<details", 1)
    assert "figures/verdict.svg" in first
    small = re.findall(r'<small class="interval">(.*?)</small>', first)
    assert "[9.0, 11.0]" in small, "the normalized log-mel features, within: 10"
    assert first.count("<tr") == 2 + 10, "two of heads, and of 7 systems the layers of units, and what enters the last"
    assert "Held out, quant2 of {} → {2} → {2,3} cannot be told from k-means of log-mel with the same rate" in first
    assert "quant3 detects more words than them (+24.1 [+19.2, +29.0])" in first
    for heading in ("All models and layers", "Compared in figures", "What does not carry over", "Every number"):
        assert heading not in first
        assert heading in folded
    assert all(read["index.html"].alts), "pictures inside are described"


def test_a_score_of_a_whole_model_has_one_row_above_those_of_its_layers(results, report):
    table = (report / "index.html").read_text().split('aria-labelledby="results"')[1].split("</table>")[0]
    rows = [re.sub("<[^>]*>", " ", row).split() for row in table.split("<tbody>")[1].split("</tr>")]
    last = [" ".join(row) for row in rows if " ".join(row).startswith("{} → {2} → {2,3} ")]
    assert [row.removeprefix("{} → {2} → {2,3} ").split()[0] for row in last] == ["whole", "conv2", "quant2", "quant3"]
    recalls = json.loads((results / "none-2-23/retrieval/test.json").read_text())
    percent = f"{50 * sum(recalls[d]['recall_at_10'] for d in ('image_to_speech', 'speech_to_image')):.1f}"
    assert [percent in row.split() for row in last] == [True, False, False, False]


def test_what_does_not_carry_over_is_said_of_the_demo_alone(folder, tmp_path):
    other = folder.rename(folder.with_name("other"))
    out = write_small(other, tmp_path / "report")
    assert "What does not carry over" not in (out / "index.html").read_text()


def test_abx_of_other_items_has_a_table_of_its_own(folder, tmp_path):
    score = json.loads((folder / "none-2/abx/test/quant2.json").read_text())
    bounds = {"abx|test|phoneme_within|error": [1.25, 3.5], "abx|test|within|error": [7.25, 8.5]}
    for place in ("phoneme/quant2.json", "quant2.json"):
        file = folder / "none-2/abx/test" / place
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(score | {"intervals": bounds}))
    text = (write_small(folder, tmp_path / "report", made_up.SYSTEMS) / "abx.html").read_text()
    triphones, phonemes = text.split("Split test, phonemes in context</h2>")
    assert phonemes.count('<small class="interval">[1.2, 3.5]</small>') == 1
    assert "[7.2, 8.5]" in triphones
    assert all(name in triphones for name in ("normalized log-mel", "k-means of log-mel, 64 codes", "hubert"))
    assert "hubert" not in phonemes.split("Which phones")[0]


def test_a_score_that_nobody_explained_is_shown_all_the_same(tmp_path):
    made_up.write_one_score(tmp_path / "results", task="new", score="something_else", value="0.000123456")
    page.write(tmp_path / "results", ["none"], "test", config.Report(), tmp_path / "report")
    read = Reader((tmp_path / "report/index.html").read_text())
    assert read.numbers == ["0.000123456"]
    assert "New, something else" in "".join(read.words)


def write_small(folder, out, lineages=made_up.FOLDERS, **options):
    page.write(folder, lineages, "test", config.Report(utterances=1), out, **options)
    return out


def test_words_best_bounds_the_scatter_and_the_tables(folder, tmp_path):
    made_up.limit_best(folder, 2)
    text = (write_small(folder, tmp_path / "report") / "words.html").read_text()
    points = [t for t in in_page(text, "chart-precision-recall-data")["data"] if t["mode"] == "markers"]
    assert [len(trace["x"]) for trace in points] == [2, 2, 2]
    assert text.count("The best 2 are listed.") == 3


def test_a_lineage_of_several_seeds_is_named_with_them_and_has_its_spread(folder, tmp_path):
    made_up.copy_as_seed(folder, "none-2", 3)
    made_up.summarize(folder)
    out = write_small(folder, tmp_path / "report", ["none-2"])
    text = " ".join("".join(Reader((out / "index.html").read_text()).words).split())
    assert all(part in text for part in ("{} → {2} (seed 3)", "Over seeds", " ± 0"))


def test_scores_under_noise_are_drawn_only_from_the_table_given(folder, tmp_path):
    clean, noisy = (folder / f"none-2/retrieval/test{kind}.json" for kind in ("", ".white_10dB"))
    score = json.loads(clean.read_text())
    split = {"split": "test.white_10dB"}
    noisy.write_text(json.dumps(score | {"conditions": score["conditions"] | split, "origin": score["origin"] | split}))
    kinds = {"test": ("clean", None), "test.white_10dB": ("white", 10.0)}
    conditions = {name: {"of": "test", "kind": kind, "snr_db": snr_db} for name, (kind, snr_db) in kinds.items()}
    summarize_noise([clean, noisy], "spoken_scenes", conditions, {}, folder / "noise.csv")
    for noise in (None, folder / "noise.csv"):
        out = write_small(folder, tmp_path / "report", ["none-2"], noise=noise)
        assert ("Under noise" in (out / "index.html").read_text()) == (noise is not None)
        assert (out / "figures/compared-noise-retrieval.svg").exists() == (noise is not None)


def test_other_pages_have_the_numbers_of_their_files(read):
    assert {"14.0", "19.599999999999998", "412.4"} <= set(read["abx.html"].numbers)
    words = "".join(read["words.html"].words)
    assert all(word in words for word in ("NULL", "LAKE", "<SIL>"))


def test_every_reference_is_a_file_of_the_folder_and_none_leads_outside(report, read):
    for name, page_text in read.items():
        for reference in page_text.references:
            parts = urlsplit(reference)
            assert not parts.scheme, (name, reference)
            assert not parts.netloc, (name, reference)
            target = report / parts.path if parts.path else report / name
            assert target.is_file(), (name, reference)
            assert report in target.resolve().parents
            if parts.fragment and not parts.path:
                assert parts.fragment in read[name].ids
    data = pieces(report)
    used = {*PAGES, *(f"data/{name}.js" for name in data)}
    used |= {urlsplit(reference).path for page_text in read.values() for reference in page_text.references}
    pictured = [pair for name in data if name.startswith(("maps", "utterances")) for pair in data[name]]
    used |= {pair["image"]["file"] for pair in pictured} | {pair["sound"] for pair in pictured}
    used |= {data[name]["csv"] for name in data if name.startswith("phones")} | {"assets/plotly.min.js"}
    files = {str(p.relative_to(report)) for p in report.rglob("*") if p.is_file()}
    assert files == used - {""}, "every file is used somewhere, and none is missing"
    for file in (*(f for f in report.glob("assets/*") if "plotly" not in f.name), *report.glob("figures/*.svg")):
        text = file.read_text()
        assert "@import" not in text
        assert "fetch(" not in text
        assert not re.search(r"""(?:href|src|url\()\s*=?\s*["']?\s*(?:https?:)?//""", text), file


def test_the_library_of_charts_is_the_installed_one_with_its_licence(report):
    script, licence = interactive.library()
    assert (report / "assets/plotly.min.js").read_bytes() == script.read_bytes()
    assert "MIT" in (report / "assets/plotly-license.txt").read_text()
    assert licence.read_bytes() == (report / "assets/plotly-license.txt").read_bytes()


def test_text_of_the_corpus_is_escaped(report, read):
    for name in PAGES:
        text = (report / name).read_text()
        scripts = [reference for reference in read[name].references if reference.endswith(".js")]
        assert all(script.startswith("assets/") for script in scripts), "our own scripts, and none of the corpus"
        assert not any(part in text for part in ("<script>alert", "<img src=x", "TREE<b>", "u1<i>"))
    for file in report.glob("data/*.js"):
        assert not re.search("[<>&\u2028\u2029]", file.read_text()), file
    assert f"{made_up.NASTY} red tree" in "".join(read["retrieval.html"].words)
    assert "TREE<b>" in "".join(read["words.html"].words)
    texts = [text for piece in pieces(report, "texts-*").values() for _, _, text, _ in piece]
    assert texts == [f"{made_up.NASTY} red tree {i}" for i in range(12)]


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(st.recursive(st.none() | st.booleans() | st.integers() | FINITE | st.text(), st.lists))
def test_data_come_back_as_they_were_and_never_leave_their_script(value):
    text = assets.as_script(value)
    assert json.loads(text) == value
    assert not set("<>&\u2028\u2029") & set(text)


def test_numbers_that_are_none_become_null():
    value = {1: [np.float64("nan"), math.inf, np.int64(3)], "a": np.array([0.5, np.nan]), "b": (True, None)}
    assert json.loads(assets.as_script(value)) == {"1": [None, None, 3], "a": [0.5, None], "b": [True, None]}


def test_pages_are_readable_without_seeing(report, read):
    for name, page_text in read.items():
        text = (report / name).read_text()
        assert page_text.headings[0] == 1
        assert page_text.headings.count(1) == 1
        assert all(b - a <= 1 for a, b in zip(page_text.headings, page_text.headings[1:], strict=False)), (
            f"{name} leaves out a level of headings"
        )
        assert all(page_text.alts), name
        assert not page_text.unlabelled
        assert 'lang="en"' in text
        assert 'class="skip" href="#main"' in text
        assert text.count('aria-current="page"') == 1
        assert len(page_text.ids) == len(set(page_text.ids))
        assert not re.search(r"<table(?![^<]*\n?\s*<(?:thead|tbody|caption))", text)


def test_utterances_come_with_sound_image_spectrogram_and_codes(results, report):
    utterances = [u for piece in pieces(report, "utterances-*").values() for u in piece]
    assert len(utterances) == 3
    store = Store(results / "data/test.h5")
    for number, u in enumerate(utterances):
        assert u["number"] == number
        source = store.utterance(store.index(u["id"]))
        assert u["sound"].endswith(".wav")
        samples, rate = soundfile.read(report / u["sound"], dtype="int16")
        assert (rate, samples.tolist()) == (16000, soundfile.read(source.wav, dtype="int16")[0].tolist()), (
            "the sound is the recording"
        )
        assert u["duration"] == pytest.approx(len(samples) / 16000, abs=1e-4)
        assert u["words"] == [[round(start, 4), round(end, 4), label] for start, end, label in source.words]
        kind, png = pieces(report, f"spectrogram-{number}")[f"spectrogram-{number}"].split(",")
        assert kind == "data:image/png;base64"
        grey = np.asarray(Image.open(io.BytesIO(base64.b64decode(png)))).astype(float)
        logmel = store.logmel(store.index(u["id"])).astype(float)
        assert np.abs(-grey[::-1].T * 80 / 255 - logmel).max() < 0.2, "dB, low bands at the bottom"
        assert Image.open(report / u["image"]["file"]).size == (48, 32)
        for layer, (folder, name, period) in enumerate(made_up.LAYERS):
            with CodesFile(results / folder / "codes/test.h5", name) as file:
                place = [row["id"] for row in file.manifest(0, len(file))].index(u["id"])
                codes = file.codes(place, place + 1)[0]
            runs = u["codes"][str(layer)]
            lengths = np.round(np.diff(runs["edge"]) / period).astype(int)
            assert np.repeat(runs["code"], lengths).tolist() == codes.tolist()
            assert (np.diff(runs["code"]) != 0).all()


def test_all_others_can_be_searched_and_the_page_says_so(report):
    texts = [row for piece in pieces(report, "texts-*").values() for row in piece]
    with_audio = pieces(report, "with-audio")["with-audio"]
    assert len(texts) == 12
    numbered = [(row[0], row[3]) for row in texts if row[3] is not None]
    assert numbered == [(utterance_id, number) for number, (utterance_id, *_) in enumerate(with_audio)]
    assert "3 of the 12 utterances" in (report / "utterances.html").read_text()


def test_the_same_choice_each_time(results, tmp_path):
    first, second = (write_small(results, tmp_path / name, ["none"]) for name in "ab")
    assert {p.name for p in first.iterdir()} == {p.name for p in second.iterdir()}
    for file in (p for p in first.rglob("*") if p.is_file()):
        assert file.read_bytes() == (second / file.relative_to(first)).read_bytes()


@pytest.mark.parametrize(
    ("patterns", "missing"),
    [
        (["*/abx"], {"abx.html"}),
        (["*/words"], {"words.html"}),
        (["*/retrieval"], {"retrieval.html"}),
        (["*/model"], {"training.html"}),
        (["data", "*/codes"], {"units.html", "utterances.html"}),
        (["data"], set()),
        (["*/codes"], {"units.html"}),
        (["*/abx", "*/words", "*/retrieval", "*/model", "data", "*/codes"], set(PAGES) - {"index.html"}),
    ],
)
def test_what_was_not_computed_has_no_page(folder, tmp_path, patterns, missing):
    for path in [path for pattern in patterns for path in folder.glob(pattern)]:
        shutil.rmtree(path)
    write_small(folder, tmp_path / "report")
    assert set(PAGES) - {p.name for p in (tmp_path / "report").glob("*.html")} == missing
    links = Reader((tmp_path / "report/index.html").read_text()).references
    assert not missing & set(links)


def test_an_old_report_is_replaced_and_nothing_is_left_beside(results, tmp_path):
    out = tmp_path / "report"
    out.mkdir()
    (out / "old.html").write_text("old")
    write_small(results, out, ["none"])
    assert not (out / "old.html").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["report"]


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda r: (r / "scores.csv").unlink(), "scores.csv"),
        (lambda r: (r / "none-2/retrieval/test.json").write_text("{"), "test.json"),
        (lambda r: (r / "none-2/codes/test.h5").write_bytes(b"nothing"), "test.h5"),
        (lambda r: (r / "none-2/words/quant2/test/words.csv").write_text("a,b\n1,2\n"), "words.csv"),
        (lambda r: (r / "none-2/model/history.csv").write_text(""), "history.csv"),
        (lambda r: (r / "data/test.h5").write_bytes(b"nothing"), "test.h5"),
    ],
)
@pytest.mark.parametrize("before", [False, True])
def test_a_failure_leaves_the_old_report_or_none(folder, tmp_path, damage, named, before):
    out = tmp_path / "out/report"
    damage(folder)
    if before:
        out.mkdir(parents=True)
        (out / "index.html").write_text("old")
    with pytest.raises(InputError, match=re.escape(named)):
        write_small(folder, out, ["none-2"])
    files = [str(path.relative_to(out.parent)) for path in sorted(out.parent.rglob("*"))]
    assert files == (["report", "report/index.html"] if before else [])


def test_a_lineage_that_is_none_is_refused(results, tmp_path):
    with pytest.raises(InputError, match="system"):
        page.write(results, ["32"], "test", config.Report(), tmp_path / "report")
    assert list(tmp_path.iterdir()) == []
