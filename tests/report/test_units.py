"""What the explorer tells of codes and words is what a plain count over all utterances gives."""

import base64
from collections import Counter

import numpy as np
import oracles.evaluation as oracle
import pytest
from report.made_up import LAYERS
from report.test_page import in_page, pieces

from resdavenet_vq.encode.codes import CodesFile


@pytest.fixture(scope="module")
def data(report):
    return pieces(report)


def details(data, number):
    """Every code of a layer with its details."""
    for name, piece in data.items():
        if name.startswith(f"layer-{number}-codes"):
            yield from ((int(code), detail) for code, detail in piece.items())


def utterances(results, folder, layer):
    """(id, words, phones, codes) of every utterance."""
    with CodesFile(results / folder / "codes/test.h5", layer) as file:
        rows = [*file.manifest(0, len(file))]
        return [
            (r["id"], r["words"], r["phones"] or [], codes.tolist())
            for r, codes in zip(rows, file.codes(0, len(file)), strict=True)
        ]


@pytest.mark.parametrize("number", range(3))
def test_every_code_is_listed_with_its_frames_and_occurrences(results, data, number):
    spoken = utterances(results, *LAYERS[number][:2])
    frames = Counter(c for *_, codes in spoken for c in codes)
    occurrences = Counter(code for *_, codes in spoken for _, _, code in oracle.runs(codes))
    listed = data[f"layer-{number}"]
    assert {row[0]: (row[1], row[2]) for row in listed["codes"]} == {c: (frames[c], occurrences[c]) for c in frames}
    assert listed["frames"] == sum(frames.values())
    assert dict(details(data, number)).keys() == frames.keys()


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("tier", ["words", "phones"])
def test_precision_recall_and_hits_are_those_of_a_plain_count(results, data, number, tier):
    folder, layer, period = LAYERS[number]
    of_tier = {"words": 1, "phones": 2}[tier]
    spoken = [(row[3], row[of_tier]) for row in utterances(results, folder, layer)]
    frames, touched, tokens, hit = oracle.word_counts(spoken, period, 0.04 if tier == "words" else 0.0)
    checked = 0
    for code, detail in details(data, number):
        for label, precision, recall, f1, hits in detail[tier]:
            pair = label, code
            expected = touched[pair] / frames[code], hit[pair] / tokens[label], hit[pair]
            assert (precision, recall, hits) == pytest.approx(expected, abs=6e-5)
            both = precision + recall
            assert f1 == pytest.approx(2 * precision * recall / both if both else 0, abs=2e-4)
            checked += 1
        assert [row[3] for row in detail[tier]] == sorted((row[3] for row in detail[tier]), reverse=True)
    assert checked > 10


@pytest.mark.parametrize("number", range(3))
def test_places_are_occurrences_in_utterances_with_audio_up_to_the_limit(results, data, number):
    folder, layer, period = LAYERS[number]
    with_audio = [utterance_id for utterance_id, *_ in data["with-audio"]]
    there = {
        (code, with_audio.index(i), round(start * period, 4), round((start + length) * period, 4))
        for i, _, _, codes in utterances(results, folder, layer)
        if i in with_audio
        for start, length, code in oracle.runs(codes)
    }
    counted = Counter(code for code, *_ in there)
    for code, detail in details(data, number):
        assert detail["withAudio"] == counted[code]
        assert len(detail["places"]) == min(2, detail["withAudio"])
        assert {(code, *place) for place in detail["places"]} <= there


def test_words_have_their_codes_in_every_layer_and_their_places(results, report, data):
    about = in_page((report / "units.html").read_text(), "about")
    titles = ["{} → {2} quant2", "{} → {2} → {2,3} quant2", "{} → {2} → {2,3} quant3"]
    titles += ["k-means of log-mel quant2", "k-means of log-mel quant3", "hubert quant2"]  # no other codebook sizes
    assert [layer["title"] for layer in about["layers"]] == titles
    assert about["layers"][2]["number"] == about["first"], "of the last model"
    spoken = dict(data["vocabulary"])
    everything = utterances(results, *LAYERS[0][:2])
    assert spoken == Counter(word for _, words, _, _ in everything for *_, word in words)
    assert [word for word, _ in data["words-0"]] == list(spoken), "in one order, so that the place of a word is its key"
    of_code = dict(details(data, 0))
    for word, detail in data["words-0"]:
        assert set(detail["codes"]) == set(map(str, range(len(titles))))
        code, precision, recall, f1, hits = detail["codes"]["0"][0]
        assert [word, precision, recall, f1, hits] in of_code[code]["words"]
        for number, start, end in detail["places"]:
            u = data["utterances-0"][number]
            assert [start, end, word] in u["words"]
        assert len(detail["places"]) == min(2, detail["withAudio"])


def test_matchmaps_are_the_products_of_cells_and_frames(data):
    pairs = data["maps-0"]
    assert len(pairs) == 12
    for pair in pairs:
        rows, columns, frames = pair["shape"]
        levels = np.frombuffer(base64.b64decode(pair["levels"]), np.uint8).reshape(frames, rows, columns)
        values = pair["low"] + levels / 255 * (pair["high"] - pair["low"])
        expected = np.zeros((frames, 3, 2))
        expected[:, 2, 1] = np.arange(1, frames + 1)
        assert np.abs(values - expected).max() <= frames / 255
