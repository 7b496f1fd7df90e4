"""The pages of a corpus of sounds alone, without words, phones, texts and images, in a real browser."""

import pytest
from browser.test_pages import PAGES, fill, ready
from report.made_up import SYSTEMS, build, utterances, without
from report.test_page import pieces

from resdavenet_vq import config
from resdavenet_vq.corpus import textgrid
from resdavenet_vq.report import page
from resdavenet_vq.report.sources import Command


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Its report; eight utterances have audio."""
    top = tmp_path_factory.mktemp("bare")
    results = top / "results" / "spoken_scenes"
    build(results, without(utterances(top, 12), "words", "phones", "text", "speaker", "image"))
    commands = {"none-2/abx/test/quant2.json": Command("score_abx", "scores.log", ("score-abx", "--layer", "quant2"))}
    page.write(results, SYSTEMS, "test", config.Report(utterances=8, occurrences=5), top / "report", commands=commands)
    return top / "report"


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_complains_of_nothing_and_shows_no_value_that_is_none(browser, bare, name, width):
    browser.size(width, mobile=width < 500)
    if name == "retrieval":  # nothing is drawn
        browser.open(bare / "retrieval.html")
    else:
        ready(browser, bare, name)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate("document.querySelector('.fault[role=alert]')?.textContent ?? ''") == ""
    values = r"document.body.innerText.match(/\b(NaN|nan|null|undefined)\b|None\b(?! of)/g) ?? []"
    assert browser.evaluate(values) == []
    empty = "[...document.querySelectorAll('tbody :is(td, th)')].filter((cell) => !cell.textContent.trim()).length"
    assert browser.evaluate(empty) == 0


def test_a_code_is_listed_by_use_and_heard(browser, bare):
    codes = (item for piece in pieces(bare, "layer-1-codes-*").values() for item in piece.items())
    code = next(code for code, detail in codes if detail["places"])
    ready(browser, bare, "units", f"#layer=1&code={code}")
    assert "quant2" in browser.text("#detail h2")
    assert "word" not in browser.text("#detail")
    assert browser.evaluate("document.querySelectorAll('input[name=mode], #detail table').length") == 0
    orders = browser.evaluate("[...document.querySelectorAll('#order option')].map((o) => o.value)")
    assert orders == ["frames", "number"]
    browser.evaluate("document.querySelector('.place').scrollIntoView()")
    browser.wait("document.querySelector('.place .box.focused')")
    assert browser.text(".place > p") == "no text"
    browser.click(".place .play")
    browser.wait("report.player.audio.currentTime > 0.02")
    fill(browser, "#filter", code)
    first = "document.querySelector('.option .cell-1').textContent"
    assert browser.evaluate(first).endswith("×"), "how often it occurs stands in place of its best word"


def test_an_address_of_a_word_says_what_words_need(browser, bare):
    browser.open(bare / "units.html", "#layer=0&word=")
    browser.wait("document.querySelector('#detail [role=status]')")
    assert browser.text("#detail [role=status]") == "needs aligned words"


def test_an_utterance_has_its_codes_above_its_spectrogram(browser, bare, tmp_path):
    ready(browser, bare, "utterances", "#search=red")
    rows = browser.evaluate("[...document.querySelectorAll('#utterance .rowname')].map((r) => r.textContent)")
    assert rows[0] == "{} → {2} quant2"
    assert len(rows) == 6
    assert browser.evaluate("document.querySelectorAll('#utterance .photo, #utterance blockquote, form').length") == 0
    assert browser.text("#utterance .head p") == "no text"
    listed = browser.evaluate("[...document.querySelectorAll('.option .cell-1')].map((o) => o.textContent)")
    assert listed == ["no text"] * 8
    (tmp_path / "u.TextGrid").write_text(browser.evaluate("report.utterance(1).then(report.textGrid)"))
    assert list(textgrid.read(tmp_path / "u.TextGrid")) == rows
