"""The pages in a real browser, opened from disk: they fit, play, find, and obey keys; hostile texts do nothing."""

import base64
import csv
import io
import json

import numpy as np
import pytest
from PIL import Image
from report.made_up import NASTY
from report.test_page import pieces

from resdavenet_vq.corpus import textgrid

PAGES = ("index", "training", "words", "units", "utterances", "retrieval", "abx", "commands")
FOCUS = "((e) => e.id || e.textContent.trim().slice(0, 40) || e.tagName)(document.activeElement)"


def ready(browser, pages, name, fragment=""):
    """Opens a page and waits until what its scripts draw is there."""
    browser.open(pages / f"{name}.html", fragment)
    waits = {
        "units": "document.querySelector('#detail h2, #detail [role=status]')",
        "utterances": "document.querySelector('#utterance .spectrogram img')?.complete || document.querySelector("
        "'#results h2') || document.querySelector('#searched').textContent.startsWith('Type')",
        "retrieval": "document.querySelector('#bars .likeness')",
    }
    if name not in waits:  # a chart is drawn when it comes near
        browser.evaluate("document.querySelector('.chart')?.scrollIntoView()")
    browser.wait(waits.get(name, "[...document.querySelectorAll('.chart')].slice(0, 1).every((c) => c.dataset.drawn)"))


def change(browser, selector, name, value, event):
    element = f"document.querySelector({json.dumps(selector)})"
    browser.evaluate(f"{element}.{name} = {value}; {element}.dispatchEvent(new Event('{event}'))")


def fill(browser, selector, text):
    browser.focus(selector)
    browser.write(text)


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_and_complains_of_nothing(browser, pages, name, width):
    browser.size(width, mobile=width < 500, dark=width > 500)
    ready(browser, pages, name)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate("document.querySelector('.fault[role=alert]')?.textContent ?? ''") == ""
    labelled = "e.labels?.length || e.ariaLabel || e.getAttribute('aria-labelledby') || e.textContent.trim()"
    controls = "input, select, button, audio, [role=listbox], [role=slider], .chart"
    unlabelled = f"[...document.querySelectorAll('{controls}')].filter((e) => !({labelled}))"
    unseen = "[...document.images].filter((i) => !i.alt || (i.complete && !i.naturalWidth))"
    for faults in (unlabelled, unseen):
        assert browser.evaluate(f"{faults}.map((e) => e.outerHTML)") == []
    ids = browser.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", PAGES)
def test_hostile_texts_do_nothing_and_are_shown_as_they_are(browser, pages, name):
    ready(browser, pages, name)
    if name == "utterances":
        assert browser.text("blockquote").startswith(NASTY)
        ready(browser, pages, name, "#search=red+tree")
    assert browser.evaluate("window.canary === undefined && !document.querySelector('img[src=x], main b, main i')")


def test_an_utterance_plays_and_the_cursor_follows(browser, pages):
    ready(browser, pages, "utterances")
    browser.evaluate("document.querySelector('#utterance audio').play()")
    browser.wait("document.querySelector('#utterance audio').currentTime > 0.15")
    assert browser.evaluate("parseFloat(document.querySelector('#utterance .playhead').style.left)") > 0
    said = browser.evaluate("document.querySelector('#utterance [role=slider]').getAttribute('aria-valuetext')")
    assert said.count("quant") == 6


def test_a_click_into_the_picture_plays_from_there(browser, pages):
    ready(browser, pages, "utterances")
    browser.click("#utterance .spectrogram")
    browser.wait(
        "(({ paused, currentTime }) => !paused && currentTime > 0.28)(document.querySelector('#utterance audio'))"
    )


def test_arrow_keys_move_the_cursor_and_say_what_is_there(browser, pages):
    ready(browser, pages, "utterances")
    browser.focus("#utterance [role=slider]")
    for _ in range(6):
        browser.key("ArrowRight")
    browser.wait("document.querySelector('.said').textContent.startsWith('0.12')")
    assert "word RED" in browser.text(".said")
    assert browser.evaluate("document.querySelector('.said').getAttribute('aria-live')") == "polite"
    browser.key("Home")
    browser.wait("document.querySelector('.said').textContent.startsWith('0.00 s: word –')")
    browser.key(" ")
    browser.wait("!document.querySelector('#utterance audio').paused")


def test_zoom_makes_the_picture_wider_and_boxes_keep_their_times(browser, pages):
    ready(browser, pages, "utterances")
    place = """(() => {
        const stage = document.querySelector('#utterance .stage'), box = stage.querySelector('.boxes').children[1].style;
        return [stage.offsetWidth, parseFloat(box.left) / stage.offsetWidth, parseFloat(box.width)];
    })()"""
    width, left, box = browser.evaluate(place)
    change(browser, ".zoom input", "value", 100, "input")
    wider, same, wide_box = browser.evaluate(place)
    assert wider > width
    assert same == pytest.approx(left, abs=0.01)
    assert wide_box / box == pytest.approx(wider / width, rel=0.01)


def test_check_boxes_choose_the_rows(browser, pages):
    ready(browser, pages, "utterances")
    rows = "[...document.querySelectorAll('#utterance .rowname')].map((r) => r.textContent)"
    before = browser.evaluate(rows)
    browser.click("#rows input")
    assert browser.evaluate(rows) == [r for r in before if r != "{} → {2} quant2"]
    assert before[-3:] == ["k-means of log-mel quant2", "k-means of log-mel quant3", "hubert quant2"]


def test_a_search_finds_every_place_and_a_place_plays(browser, pages):
    ready(browser, pages, "utterances")
    fill(browser, "#search", "red")
    browser.key("Enter")
    browser.wait("document.querySelectorAll('.place').length === 8")
    assert browser.text("#searched") == "12 utterances of 12; 8 places to hear and see."
    assert browser.evaluate("document.querySelectorAll('.texts li').length") == 4, "the others as text alone"
    browser.evaluate("document.querySelector('.place').scrollIntoView()")
    browser.wait("document.querySelector('.place .box')")
    browser.click(".place .play")
    browser.wait("report.player.audio.currentTime > 0.1 && !report.player.audio.paused")
    browser.wait("report.player.audio.paused && document.querySelector('.place .play').textContent === '▶ Play'")
    assert browser.evaluate("report.player.audio.currentTime") < 0.5, "it stops where the word ends"


@pytest.mark.parametrize(
    ("query", "places"),
    [("a red", 0), ("RED TREE", 0), ("re*", 8), ("nothing", 0), ("re", 0), ("<script>", 0), (".*", 0)],
)
def test_searches(browser, pages, query, places):
    ready(browser, pages, "utterances", "#search=" + query.replace(" ", "+"))
    browser.wait("/[^…]$/.test(document.querySelector('#searched').textContent)")
    assert browser.evaluate("document.querySelectorAll('.place').length") == places
    result = browser.text("#searched")
    # the text has both words in a row, the alignment has not
    assert result.startswith("12 utterances of 12") == (query in {"RED TREE", "re*"})


def test_a_textgrid_holds_the_rows(browser, pages, tmp_path):
    ready(browser, pages, "utterances")
    (tmp_path / "u.TextGrid").write_text(browser.evaluate("report.utterance(1).then(report.textGrid)"))
    shown = browser.evaluate("report.utterance(1)")
    tiers = textgrid.read(tmp_path / "u.TextGrid")
    assert [[i.start, i.end, i.label] for i in tiers["words"]] == shown["words"]
    assert [int(i.label) for i in tiers["{} → {2} → {2,3} quant3"]] == shown["codes"]["2"]["code"]


def test_the_explorer_leads_from_a_code_to_a_word_and_back(browser, pages):
    codes = (item for piece in pieces(pages, "layer-1-codes-*").values() for item in piece.items())
    code = next(code for code, detail in codes if detail["words"] and detail["places"])
    ready(browser, pages, "units", f"#layer=1&code={code}")
    assert "quant2" in browser.text("#detail h2")
    browser.evaluate("document.querySelector('#detail table a').click()")
    browser.wait("document.querySelector('#detail h2').textContent.startsWith('The word')")
    layers = browser.evaluate("document.querySelectorAll('#detail .side-by-side table').length")
    assert layers == 6, "all layers side by side"
    assert browser.evaluate("document.querySelector('input[name=mode]:checked').value") == "words"
    browser.evaluate("history.back()")
    browser.wait("document.querySelector('#detail h2').textContent.startsWith('Code')")
    browser.evaluate("document.querySelector('.place').scrollIntoView()")
    browser.wait("document.querySelector('.place .box.focused')")
    browser.click(".place .play")
    browser.wait("report.player.audio.currentTime > 0.02")


def test_the_explorer_works_by_keyboard_and_filters(browser, pages):
    ready(browser, pages, "units")
    title = "document.querySelector('#detail h2').textContent"
    first = browser.evaluate(title)
    browser.focus("#list")
    browser.key("ArrowDown")
    browser.wait(f"{title} !== {json.dumps(first)}")
    assert browser.evaluate("document.querySelector('[aria-selected=true]').id") == "list-1"
    assert browser.evaluate("document.querySelector('#list').getAttribute('aria-activedescendant')") == "list-1"
    browser.evaluate("document.querySelector('input[value=words]').click()")
    browser.wait(f"{title}.startsWith('The word')")
    fill(browser, "#filter", "boat")
    assert browser.evaluate("[...document.querySelectorAll('.option .cell-0')].map((o) => o.textContent)") == ["BOAT"]


def test_what_does_not_occur_is_said(browser, pages):
    browser.open(pages / "units.html", "#layer=0&word=%3Cimg%20src%3Dx%3E")
    browser.wait("document.querySelector('#detail [role=status]')")
    assert browser.text("#detail [role=status]") == "The word <img src=x> is not spoken in the split test."


def test_all_but_the_verdict_is_folded_and_a_key_or_a_print_unfolds_it(browser, pages):
    ready(browser, pages, "index")
    open_folds = "[...document.querySelectorAll('details.fold')].map((fold) => fold.open)"
    assert browser.evaluate(f"{open_folds}.length") >= 5
    assert not any(browser.evaluate(open_folds))
    assert browser.evaluate("document.querySelector('.verdict').checkVisibility()")
    browser.focus("details.fold summary")
    browser.key("Enter")
    browser.wait("document.querySelector('details.fold').open")
    assert browser.evaluate("document.querySelector('details.fold table').checkVisibility()")
    browser.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert all(browser.evaluate(open_folds))
    assert browser.evaluate("document.documentElement.scrollWidth") <= 1280
    browser.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert browser.evaluate(open_folds)[:2] == [True, False], "as it was before"


def test_unfolded_it_fits_a_phone(browser, pages):
    browser.size(390, mobile=True)
    ready(browser, pages, "index")
    browser.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390
    assert browser.evaluate("[...document.querySelectorAll('.sentences dd')].length") == 4


@pytest.mark.parametrize("name", PAGES)
def test_the_keyboard_reaches_everything_in_order_and_one_sees_where_it_is(browser, pages, name):
    ready(browser, pages, name)
    browser.key("Tab")
    assert browser.evaluate("document.activeElement.className") == "skip"
    seen = []
    for _ in range(16):
        browser.key("Tab")
        seen.append(browser.evaluate(FOCUS))
        style = browser.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        own = browser.evaluate("document.activeElement.matches('body, audio')")  # players mark a part of themselves
        assert own or style != "none", seen[-1]
    assert seen[:7] == ["Overview", "Training", "Words", "Units", "Utterances", "Retrieval", "ABX"]
    expected = {
        "units": {"layer", "order", "filter", "list"},
        "utterances": {"search", "list"},
        "retrieval": {"map-model", "map-pair", "time"},
        "abx": {"phone-table"},
    }
    assert expected.get(name, set()) <= set(seen)


def test_tables_sort_and_narrow(browser, pages):
    ready(browser, pages, "words")
    rows = "[...document.querySelectorAll('#words-1 tbody tr')].filter((r) => !r.hidden)"
    first = f"{rows}.map((r) => r.cells[0].textContent.trim())"
    browser.click("#words-1 th button")
    names = browser.evaluate(first)
    assert names == sorted(names, key=lambda name: name.strip("<>").lower()) or len(names) == len(set(names))
    assert browser.evaluate("document.querySelector('#words-1 th').getAttribute('aria-sort')") == "ascending"
    fill(browser, "input[data-filters=words-1]", "lak")
    assert browser.evaluate(first) == ["LAKE"]
    assert "1 of" in browser.text(".narrow output")


def test_a_point_names_its_word_and_opens_it_in_the_explorer(browser, pages):
    ready(browser, pages, "words")
    trace = "document.querySelector('#chart-precision-recall').data.find((t) => t.mode === 'markers')"
    link = browser.evaluate(f"{trace}.customdata[0]")
    assert browser.evaluate(f"{trace}.text[0]").startswith(link.partition("word=")[2].split("%")[0])
    click = f"emit('plotly_click', {{ points: [{{ customdata: {json.dumps(link)} }}] }})"
    browser.evaluate(f"document.querySelector('#chart-precision-recall').{click}")
    browser.wait("location.pathname.endsWith('units.html') && document.querySelector('#detail h2')")
    assert browser.text("#detail h2").startswith("The word")


def test_the_matchmap_follows_the_time(browser, pages):
    ready(browser, pages, "retrieval")
    assert browser.evaluate("(({ width, height }) => [width, height])(document.querySelector('#cells'))") == [2, 3]
    assert "row 3 of 3, column 2 of 2" in browser.text("#said")
    browser.focus("#time")
    browser.key("Home")
    browser.wait("document.querySelector('#said').textContent.startsWith('0.00 s')")
    cells = "document.querySelector('#cells').getContext('2d').getImageData(0, 0, 2, 3).data"
    shade = f"[...{cells}].filter((_, i) => i % 4 === 3)"
    early = browser.evaluate(shade)
    browser.key("End")
    late = browser.evaluate(shade)
    assert late.index(max(late)) == 5
    assert late[5] > early[5]
    heights = browser.evaluate("[...document.querySelectorAll('.likeness')].map((b) => parseFloat(b.style.height))")
    assert heights == sorted(heights)
    browser.evaluate("document.querySelector('#map-sound').play()")
    browser.wait("document.querySelector('#map-sound').currentTime > 0.05")


def test_tables_of_phones_are_drawn_when_they_are_chosen(browser, pages):
    ready(browser, pages, "abx")
    assert browser.evaluate("document.querySelector('#phone-chart').data[0].z.length") == 4
    before = browser.text("#pairs caption")
    change(browser, "#phone-table", "selectedIndex", 1, "change")
    browser.wait(f"document.querySelector('#pairs caption').textContent !== {json.dumps(before)}")
    numbers = "[...document.querySelectorAll('#pairs tbody tr')].map((r) => [...r.querySelectorAll('data')].map((d) => Number(d.value)))"
    rows = browser.evaluate(numbers)
    assert [(error, cells) for error, cells, _ in rows] == [(2.0 * i, i) for i in range(11, -1, -1)]
    bounds = [bound for *_, bound in rows]
    assert bounds == sorted(bounds, reverse=True)
    assert all(bound <= error for error, _, bound in rows)


@pytest.mark.parametrize("dark", [False, True])
def test_a_heat_map_is_as_light_as_its_page_where_the_error_is_0(browser, pages, dark):
    browser.size(1280, dark=dark)
    ready(browser, pages, "abx")
    scale = browser.evaluate("document.querySelector('#phone-chart').data[0].colorscale.map(([, color]) => color)")
    lightness = [sum(int(color[i : i + 2], 16) for i in (1, 3, 5)) for color in scale]
    assert lightness == sorted(lightness, reverse=not dark)


def test_the_script_of_charts_is_loaded_only_for_a_chart_that_is_near(browser, pages):
    browser.size(1280, 500)
    browser.open(pages / "abx.html")
    browser.wait("document.querySelector('#pairs')")
    assert not any("plotly" in url for url in browser.requests)
    ready(browser, pages, "abx")
    assert any("plotly" in url for url in browser.requests)


def test_hits_and_misses_are_folded(browser, pages):
    ready(browser, pages, "retrieval")
    assert browser.evaluate("document.documentElement.scrollHeight") < 4000
    assert browser.evaluate("document.querySelectorAll('details.fold .case').length") > 3
    assert browser.evaluate("document.querySelectorAll('details.fold[open]').length") == 0


def test_the_matchmap_opens_on_a_word_of_the_last_model_with_its_scale_and_its_address_leads_back(browser, pages):
    ready(browser, pages, "retrieval")
    assert browser.evaluate("document.querySelector('#map-model').selectedOptions[0].text") == "{} → {2} → {2,3}"
    assert "LAKE" in browser.text("#said") or ", " in browser.text("#said").split(":")[0], "in a word"
    low, high = (float(browser.text(f"#scale-{end}")) for end in ("low", "high"))
    assert low < high
    assert browser.evaluate("getComputedStyle(document.querySelector('#cells')).imageRendering") == "pixelated"
    change(browser, "#time", "value", 0.2, "input")
    fragment = browser.evaluate("location.hash")
    assert "t=0.20" in fragment
    ready(browser, pages, "retrieval", fragment.replace("map=2", "map=1"))
    browser.wait("document.querySelector('#said').textContent.startsWith('0.20 s')")
    assert browser.evaluate("document.querySelector('#map-model').selectedOptions[0].text") == "{} → {2}"


def test_units_open_on_no_stop_word(browser, pages, tmp_path):
    for name in ("assets", "data", "sounds", "images"):
        (tmp_path / name).symlink_to(pages / name)
    about, stops = (pages / "units.html").read_text().split('"stopWords":[')
    (tmp_path / "units.html").write_text(f'{about}"stopWords":["RED",{stops}')
    ready(browser, tmp_path, "units", "#layer=0&word=")
    browser.wait("document.querySelector('#detail h2')?.textContent.startsWith('The word')")
    assert browser.text("#detail h2") != "The word RED", "though it is the most frequent"


def test_a_search_and_a_speaker_narrow_the_list_and_the_address_leads_back(browser, pages):
    listed = "[...document.querySelectorAll('.option .cell-0')].map((o) => o.textContent)"
    ready(browser, pages, "utterances")
    everything = browser.evaluate(listed)
    number = everything[0].removeprefix("u").removesuffix("<i>")
    fill(browser, "#search", number)  # which is in one text
    browser.key("Enter")
    browser.wait(f"{listed}.length === 1")
    spoken = [f"u{number}<i>"]
    assert browser.evaluate(listed) == spoken
    ready(browser, pages, "utterances", "#speaker=anna&rows=0.5")
    browser.wait(f"{listed}.length === 3")
    assert browser.text("#listed") == "3 of 8 utterances to hear and see"
    rows = "[...document.querySelectorAll('#utterance .rowname')].map((r) => r.textContent)"
    assert browser.evaluate(rows)[-2:] == ["{} → {2} quant2", "hubert quant2"]
    assert "anna" in browser.text("#utterance .head")
    browser.focus("#utterance [role=slider]")
    browser.key("ArrowRight")
    browser.wait("location.hash.includes('t=0.02')")
    assert (
        browser.evaluate("location.hash").count("speaker=anna")
        == browser.evaluate("location.hash").count("rows=0.5")
        == 1
    )


def test_a_number_leads_to_its_command_line(browser, pages):
    ready(browser, pages, "index")
    browser.evaluate("document.querySelector('.verdict a.made').click()")
    browser.wait("location.pathname.endsWith('commands.html') && document.querySelector('section:target')")
    assert browser.text("section:target code").startswith("results/spoken_scenes/none-2-23/abx/test/")
    assert "score-abx --settings '<script>" in browser.text("section:target .command")


def test_two_layers_are_compared_on_one_utterance(browser, pages):
    ready(browser, pages, "utterances")
    assert browser.evaluate("document.querySelectorAll('[aria-labelledby=compared] table').length") == 0
    change(browser, "#compared-first", "value", '"1"', "change")
    change(browser, "#compared-second", "value", '"2"', "change")
    browser.wait("document.querySelectorAll('[aria-labelledby=compared] table').length === 3")
    assert "rows=1.2" in browser.evaluate("location.hash"), "so that it can be sent"
    rows = browser.evaluate("[...document.querySelectorAll('#utterance .rowname')].map((r) => r.textContent)")
    assert rows[-2:] == ["{} → {2} → {2,3} quant2", "{} → {2} → {2,3} quant3"], "these two are drawn alone"
    cells = "[...document.querySelectorAll('[aria-labelledby=compared] table')].map((t) => [...t.rows].slice(1).map((r) => [...r.cells].map((c) => c.textContent.trim())))"
    words, numbers, together = browser.evaluate(cells)
    u = next(iter(pieces(pages, "utterances-0").values()))[0]
    best = {
        n: {row[0]: row[4] and row[4][0] for row in pieces(pages, f"layer-{n}")[f"layer-{n}"]["codes"]} for n in (1, 2)
    }
    codes, edges = ({n: u["codes"][str(n)][name] for n in (1, 2)} for name in ("code", "edge"))
    runs = {n: [*zip(codes[n], edges[n][:-1], edges[n][1:], strict=True)] for n in (1, 2)}
    for (start, end, label), row in zip(u["words"], words, strict=True):
        assert row[:2] == [label, f"{start:.2f}–{end:.2f}"]
        for n, cell in ((1, row[2]), (2, row[3])):
            there = [code for code, first, last in runs[n] if min(end, last) - max(start, first) > 1e-9]
            assert cell.split() == [part for code in there for part in ([str(code)] + ["✓"] * (best[n][code] == label))]
    assert [row[1:] for row in numbers[:1]] == [[str(len(runs[1])), str(len(runs[2]))]]
    inner = {n: [first for _, first, _ in runs[n][1:]] for n in (1, 2)}
    shares = [100 * sum(any(abs(a - b) <= 0.02 + 1e-9 for b in inner[3 - n]) for a in inner[n]) / len(inner[n]) for n in (1, 2)]  # fmt: skip
    assert [float(cell) for cell in numbers[-1][1:]] == pytest.approx(shares, abs=0.051)
    seconds = [float(row[2]) for row in together]
    assert seconds == sorted(seconds, reverse=True)
    change(browser, "#rows input", "checked", "true", "change")
    browser.wait("!document.querySelector('[aria-labelledby=compared] table')")


@pytest.mark.parametrize("dark", [False, True])
def test_an_utterance_is_saved_as_it_is_seen(browser, pages, tmp_path, dark):
    browser.size(1280, dark=dark)
    ready(browser, pages, "utterances")
    browser.evaluate("report.save = (name, content) => { window.saved = [name, content]; }")
    browser.evaluate(
        "[...document.querySelectorAll('#utterance button.link')].find((b) => b.textContent === 'PNG').click()"
    )
    name = browser.wait("window.saved?.[0]")
    assert name.endswith(".png")
    data = browser.evaluate(
        "new Promise((resolve) => { const r = new FileReader(); r.onload = () => resolve(r.result); r.readAsDataURL(window.saved[1]); })"
    )
    picture = Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))).convert("RGB")
    browser.evaluate("document.querySelector('#utterance .viewer').scrollIntoView()")
    browser.screenshot(tmp_path / "page.png")
    left, top, width, height = browser.evaluate(
        "((scroll) => [scroll.getBoundingClientRect().x, scroll.getBoundingClientRect().y, scroll.clientWidth, scroll.firstChild.offsetHeight])(document.querySelector('#utterance .viewer .scroll'))"
    )
    assert picture.size == (2 * round(width), 2 * round(height))
    page = Image.open(tmp_path / "page.png").convert("RGB").crop((round(left), round(top), round(left + width), round(top + height)))  # fmt: skip
    seen, saved = (np.asarray(image.resize((120, 40), Image.Resampling.BOX), float) for image in (page, picture))
    assert np.abs(seen - saved).mean() < 6, "of 255: letters may lie half a pixel elsewhere"
    assert np.corrcoef(seen.ravel(), saved.ravel())[0, 1] > 0.98


def test_an_occurrence_is_saved_as_a_picture(browser, pages):
    codes = (item for piece in pieces(pages, "layer-1-codes-*").values() for item in piece.items())
    code = next(code for code, detail in codes if detail["places"])
    ready(browser, pages, "units", f"#layer=1&code={code}")
    browser.evaluate("report.save = (name, content) => { window.saved = [name, content.type, content.size]; }")
    browser.evaluate("document.querySelector('.place').scrollIntoView()")
    browser.wait("document.querySelector('.place .box.focused')")
    browser.click(".place button.link")
    name, kind, size = browser.wait("window.saved")
    assert name.endswith(".png")
    assert kind == "image/png"
    assert size > 1000


def test_occurrences_of_one_speaker_alone(browser, pages):
    word, detail = next((w, d) for w, d in pieces(pages, "words-0")["words-0"] if len(d["places"]) > 3)
    speakers = [pieces(pages, "with-audio")["with-audio"][number][2] for number, *_ in detail["places"]]
    assert len(set(speakers)) == 2
    ready(browser, pages, "units", f"#layer=1&word={word}")
    browser.wait(f"document.querySelectorAll('.place').length === {len(speakers)}")
    change(browser, "#speaker", "value", '"anna"', "change")
    assert browser.evaluate("document.querySelectorAll('.place').length") == speakers.count("anna")
    assert "speaker=anna" in browser.evaluate("location.hash")
    ready(browser, pages, "units", f"#layer=1&word={word}&speaker=anna")
    browser.wait(f"document.querySelectorAll('.place').length === {speakers.count('anna')}")


def test_all_codes_by_phones_are_drawn_and_a_click_opens_a_code(browser, pages):
    browser.open(pages / "units.html", "#layer=2&matrix=phones")
    browser.wait("document.querySelector('#matrix-chart')?.dataset.drawn")
    chart = browser.evaluate("(({ x, y, z }) => ({ x, y, z }))(document.querySelector('#matrix-chart').data[0])")
    details = {
        code: d for piece in pieces(pages, "layer-2-codes-*").values() for code, d in piece.items() if d["phones"]
    }
    assert set(chart["y"]) == set(details)
    assert set(chart["x"]) == {"R", "EH"}
    for code, row in zip(chart["y"], chart["z"], strict=True):
        shares = {phone: precision for phone, precision, *_ in details[code]["phones"]}
        drawn = {phone: share for phone, share in zip(chart["x"], row, strict=True) if share is not None}
        assert drawn == pytest.approx({phone: 100 * share for phone, share in shares.items()}, abs=0.06)
    click = "emit('plotly_click', { points: [{ customdata: document.querySelector('#matrix-chart').data[0].customdata[0][0] }] })"
    browser.evaluate(f"document.querySelector('#matrix-chart').{click}")
    browser.wait(f"document.querySelector('#detail h2').textContent.startsWith('Code {chart['y'][0]} ')")


def test_all_audible_occurrences_of_a_code_are_saved_with_what_is_spoken(browser, pages):
    details = {code: d for piece in pieces(pages, "layer-2-codes-*").values() for code, d in piece.items()}
    code = max(details, key=lambda code: details[code]["withAudio"])
    ready(browser, pages, "units", f"#layer=2&code={code}")
    browser.evaluate("report.save = (name, text) => { window.saved = text; }")
    browser.evaluate(
        "[...document.querySelectorAll('#detail button')].find((b) => b.textContent.startsWith('Save all')).click()"
    )
    head, *rows = browser.wait("window.saved").splitlines()
    assert head == "utterance,speaker,start,end,words,phones"
    assert len(rows) == details[code]["withAudio"]
    for number, start, end in details[code]["places"]:
        u = next(u for piece in pieces(pages, "utterances-*").values() for u in piece if u["number"] == number)
        row = next(r for r in csv.reader(rows) if r[0] == u["id"] and float(r[2]) == start)
        assert float(row[3]) == end
        assert row[4].split() == [label for s, e, label in u["words"] if s < end and e > start]


def test_the_visible_rows_of_a_table_are_saved(browser, pages):
    ready(browser, pages, "words")
    browser.evaluate("URL.createObjectURL = (blob) => { window.saved = blob; return '#'; }")
    fill(browser, "input[data-filters=words-1]", "lak")
    browser.click("button[data-saves=words-1]")
    head, row = csv.reader(browser.wait("window.saved?.text()").splitlines())
    assert head[0] == "Word"
    assert row[0] == "LAKE"
    assert len(row) == len(head)


def test_every_table_can_be_saved(browser, pages):
    ready(browser, pages, "index")
    assert browser.evaluate(
        "[...document.querySelectorAll('main .table')].every((t) => t.nextElementSibling.matches('[data-saves]'))"
    )
    browser.evaluate("URL.createObjectURL = (blob) => { window.saved = blob; return '#'; }")
    browser.click("[aria-labelledby=verdict] + button")
    groups, heads, *rows = csv.reader(browser.wait("window.saved?.text()").splitlines())
    cells = "[...document.querySelectorAll('table.verdict tbody tr')].map((r) => [...r.cells].map((c) => c.querySelector('data')?.value ?? ''))"
    assert [row[2:] for row in rows] == [row[2:] for row in browser.evaluate(cells)], "with all digits"
    assert {len(row) for row in (groups, heads, *rows)} == {len(heads)}
    assert heads[:2] == ["System", "Layer"]
    assert groups.count(next(filter(None, groups))) > 1


def test_rows_are_saved_as_a_table(browser, pages):
    ready(browser, pages, "utterances", "#rows=0")
    head, *rows = browser.evaluate("report.utterance(0).then(report.rowsAsCsv)").splitlines()
    assert head == "row,start,end,label"
    assert {row.split(",")[0] for row in rows} == {"words", "{} → {2} quant2"}


def test_what_is_cut_has_an_edge_and_a_first_column_that_stays(browser, pages):
    browser.size(390, mobile=True)
    ready(browser, pages, "retrieval")
    region = "document.querySelector('[aria-labelledby=scores]')"
    browser.evaluate(f"{region}.scrollLeft = 200")
    assert browser.evaluate(f"getComputedStyle({region}).backgroundImage").count("linear-gradient") == 4
    left = "(e) => e.getBoundingClientRect().left"
    assert browser.evaluate(f"({left})({region}.querySelector('tbody .pinned')) - ({left})({region})") <= 2


def test_a_missing_piece_is_said(chromium, pages, tmp_path):
    (tmp_path / "utterances.html").write_text((pages / "utterances.html").read_text())
    (tmp_path / "assets").symlink_to(pages / "assets")
    chromium.size(1280)
    chromium.open(tmp_path / "utterances.html")
    chromium.wait("document.querySelector('.fault')?.textContent.includes('data/with-audio.js is missing')")
