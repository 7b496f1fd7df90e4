"""A report of a split with 20,000 utterances opens as quickly as one of twelve: what is not looked at is not loaded."""

import json

import numpy as np
import pytest
import soundfile
from encoded import ORIGIN
from report.made_up import write_one_score
from report.test_page import pieces

from resdavenet_vq import config
from resdavenet_vq.encode.codes import add_codes, create_codes
from resdavenet_vq.report import page

UTTERANCES, WITH_AUDIO, FRAMES, CODES, WORDS = 20_000, 40, 100, 1024, 5000


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Utterances of 2 s with five words each; all have the sound of one file, and there is no store."""
    folder = tmp_path_factory.mktemp("large") / "results" / "made_up"
    wav = folder / "noise.wav"
    (folder / "none-2/codes").mkdir(parents=True)
    rng = np.random.default_rng(0)
    soundfile.write(wav, 0.1 * rng.standard_normal(32000), 16000)
    words = (WORDS * rng.random((UTTERANCES, 5)) ** 2).astype(int).tolist()
    rows = []
    for i, numbers in enumerate(words):
        intervals = [[0.4 * j, 0.4 * j + 0.35, f"WORD{word}"] for j, word in enumerate(numbers)]
        text = " ".join(label for *_, label in intervals).lower()
        common = {"wav": str(wav), "image": None, "image_id": None, "speaker": "anna", "phones": None}
        rows.append({"id": f"utterance-{i:05d}", "text": text, "words": intervals} | common)
    with create_codes(folder / "none-2/codes/test.h5", [row["id"] for row in rows], rows, ORIGIN) as file:
        out = add_codes(file, "quant2", np.zeros((CODES, 2), np.float32), np.full(UTTERANCES, FRAMES), 0.02)
        codes = np.repeat(rng.integers(0, CODES, UTTERANCES * FRAMES // 4), 4).reshape(UTTERANCES, FRAMES)
        out.write_each(range(UTTERANCES), codes)
    write_one_score(folder, task="abx", layer="quant2", split="test", condition="within", score="error")
    out = folder / "report"
    page.write(folder, ["none-2"], "test", config.Report(utterances=WITH_AUDIO), out)
    return out


@pytest.mark.parametrize(
    ("name", "there"), [("units", "#detail .place"), ("utterances", "#utterance .spectrogram img")]
)
def test_it_opens_quickly_and_in_little_memory(browser, large, name, there):
    browser.open(large / "index.html")  # the first page of a browser costs it half a second more
    browser.requests.clear()
    before = browser.processor_seconds()
    seconds = browser.open(large / f"{name}.html")
    browser.wait(f"document.querySelector({json.dumps(there)})", 10)
    processor = browser.processor_seconds() - before
    loaded = sum(
        (large / url.split("/report/")[1].split("#")[0]).stat().st_size
        for url in {u for u in browser.requests if u.startswith("file:")}
    )
    megabytes = browser.memory() / 1e6
    print(f"{name}: opened in {seconds:.2f} s, {processor:.2f} s of processors,", end=" ")
    print(f"{loaded / 1e6:.2f} MB loaded, {megabytes:.0f} MB of JavaScript in use")
    assert processor < 1, "of all processes of the browser, whatever else the machine does"
    assert loaded < 3e5
    assert megabytes < 10


def test_all_texts_are_searched(browser, large):
    browser.open(large / "utterances.html", "#search=word0")
    browser.wait("document.querySelector('#searched').textContent.includes('of 20')", 10)
    expected = sum("word0" in row[2].split() for rows in pieces(large, "texts-*").values() for row in rows)
    assert expected > 100
    assert browser.evaluate("document.querySelector('#searched').textContent").startswith(
        f"{expected:,} utterances of 20,000; ".replace(",", "\u202f")
    )
