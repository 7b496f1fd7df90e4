"""Item files from alignments: the demo's own, TextGrids, phonemes, words, syllables, and what cannot be one."""

import json
from decimal import Decimal

import numpy as np
import pytest
import soundfile
from evaluation.abx.synthetic import HEADER
from hypothesis import given, settings
from hypothesis import strategies as st

from resdavenet_vq.config import Items, Preparation, SpokenScenes
from resdavenet_vq.corpus import alignments, places
from resdavenet_vq.corpus.manifest import Interval, Manifest, Utterance
from resdavenet_vq.data.preparation import prepare
from resdavenet_vq.demo import corpus as spoken_scenes
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation.abx import items as abx_items
from resdavenet_vq.evaluation.abx.columns import Item
from resdavenet_vq.evaluation.abx.items import read_items

GRID = """File type = "ooTextFile"
Object class = "TextGrid"

0 1 <exists> 3
"IntervalTier" "words" 0 1 2
0 0.4 "ab"
0.4 1 ""
"IntervalTier" "Syllables" 0 1 3
0 0.2 "ah-b"
0.2 0.4 " ah "
0.4 1 "sil"
"IntervalTier" "phones" 0 1 5
0 0.1 "AH0"
0.1 0.2 "B"
0.2 0.3 "AH1"
0.3 0.4 "spn"
0.4 1 "sil"
"""


def store(folder, *utterances):
    """A store of (id, speaker, words, phones), and perhaps syllables."""
    soundfile.write(folder / "a.wav", np.random.default_rng(0).normal(size=16000) * 0.1, 16000)
    manifest = Manifest(
        [Utterance(name, folder / "a.wav", None, None, speaker, None, *tiers) for name, speaker, *tiers in utterances]
    )
    prepare(manifest, Preparation(), folder / "split.h5", folder / "split.report.json", 1)
    return folder / "split.h5"


def made(data, of="triphone", **values):
    """The lines of the item file after its header, and the report."""
    out, report = data.with_suffix(".item"), data.with_suffix(".items.json")
    abx_items.make(data, of, Items(**values), out, report)
    header, *lines = out.read_text().splitlines()
    assert header + "\n" == HEADER
    assert len(read_items(out)) == len(lines)
    return lines, json.loads(report.read_text())


def tier(*labels, step=0.1):
    return tuple(Interval(round(i * step, 4), round((i + 1) * step, 4), label) for i, label in enumerate(labels))


@pytest.mark.parametrize("split", ["train", "unseen"])
def test_the_demo_corpus_gets_its_own_items_again(tmp_path, split):
    sizes = {"pairs": {"train": 6}, "word_lists": {"unseen": 4}, "image_size": 48}
    corpus = SpokenScenes(layout="spoken_scenes", name="s", seed=5, **sizes)
    spoken_scenes.make(corpus, split, tmp_path, 1)
    prepare(places.read(tmp_path / f"{split}.json"), Preparation(), tmp_path / "split.h5", tmp_path / "r.json", 1)
    lines, report = made(tmp_path / "split.h5")
    expected = (tmp_path / f"{split}.item").read_text().splitlines()[1:]
    assert lines == expected
    assert report["items"] == len(expected) > 40
    assert report["utterances with items"] == report["utterances"] == corpus.pairs.get(split, 4)


def test_textgrids(tmp_path):
    (tmp_path / "grids").mkdir()
    (tmp_path / "grids/u.TextGrid").write_text(GRID)
    (tmp_path / "u.json").write_text("{}")
    manifest = Manifest([Utterance("u", tmp_path / "a.wav", None, None, "s", None, None, None)])
    alignments.join(manifest, tmp_path / "grids")
    utterance = manifest.utterances[0]
    tiers = utterance.words, utterance.phones, utterance.syllables
    lines, report = made(store(tmp_path, ("u", "s", *tiers)))
    assert lines == ["u 0.0000 0.3000 B AH AH s"]
    assert report["left out"]["phones at a pause, a noise or an end"] == 2  # the AHs; pauses and noises are no phones
    assert made(tmp_path / "split.h5", ignore_stress=False)[0] == ["u 0.0000 0.3000 B AH0 AH1 s"]
    assert made(tmp_path / "split.h5", "phoneme")[0] == ["u 0.1000 0.2000 B AH AH s"]
    assert made(tmp_path / "split.h5", "word")[0] == ["u 0.0000 0.4000 AB - - s"]
    assert made(tmp_path / "split.h5", "syllable")[0] == ["u 0.0000 0.2000 ah-b - - s", "u 0.2000 0.4000 ah - - s"]


def test_nothing_is_lost_without_a_count(tmp_path):
    data = store(
        tmp_path,
        ("u", "s", None, tier("A", "B", "C", "SIL", "D", "a b", "F", "G", "H", step=0.05)),
        ("v", "s", tier("WORD"), None),
        ("w", None, None, tier("A", "B", "C")),
        ("x", "t", None, tier("A", "B", "C", step=0.02)),
    )
    lines, report = made(data)
    assert lines == ["u 0.0000 0.1500 B A C s", "u 0.3000 0.4500 G F H s"]
    one = ("utterances with items", "utterances without aligned phones", "utterances without a speaker")
    assert report == report | {"utterances": 4} | dict.fromkeys(one, 1)
    assert report["left out"] == {
        "phones at a pause, a noise or an end": 6,
        "shorter than 0.07 s": 1,
        "labels with a space": 2,
    }
    assert report["items"] + sum(report["left out"].values()) == 8 + 3  # the phones of u and x
    assert (report["of"], report["shortest"]) == ("triphone", 0.07)


def test_phonemes_are_the_middles_of_triphones_however_short(tmp_path):
    spoken = (
        *tier("A", "B", "C", "D", step=0.02),
        Interval(0.08, 0.08, "E"),
        Interval(0.08, 0.2, "F"),
        Interval(0.2, 0.3, "SIL"),
    )
    data = store(tmp_path, ("u", "s", None, spoken))
    lines, report = made(data, "phoneme")
    assert lines == ["u 0.0200 0.0400 B A C s", "u 0.0400 0.0600 C B D s", "u 0.0600 0.0800 D C E s"]
    assert report["left out"] == {
        "phones at a pause, a noise or an end": 2,  # A and F
        "without duration": 1,  # E
        "labels with a space": 0,
    }
    lines, report = made(data, "phoneme", shortest_phoneme=0.02)
    assert len(lines) == 3
    assert report["left out"]["shorter than 0.02 s"] == 1
    with pytest.raises(InputError, match=r"lasts 0\.03 s without a pause; lower abx\.items\.shortest_phoneme"):
        made(data, "phoneme", shortest_phoneme=0.03)


def test_syllables_are_the_most_frequent_ones_and_counted(tmp_path):
    syllables = tier("ka", "t i", "ka", "to", "sil", "ka", "to", "mi")
    data = store(tmp_path, ("u", "s", None, None, syllables), ("v", "t", tier("WORD"), None))
    lines, report = made(data, "syllable", most_frequent=2)
    assert [line.split()[3] for line in lines] == ["ka", "ka", "to", "ka", "to"]
    assert report["left out"] == {"not among the most frequent": 2, "shorter than 0.07 s": 0, "labels with a space": 0}
    assert report["utterances without aligned syllables"] == 1
    _, report = made(data, "syllable", most_frequent=None)
    assert report["left out"]["labels with a space"] == 1
    assert report["items"] + sum(report["left out"].values()) == 7


def test_words_without_context(tmp_path):
    words = tier("THE", "CAT", "THE", "DOG", "<eps>", "CAT", "THE", "BIRD")
    data = store(tmp_path, ("u", "s", words, None), ("v", "t", tier("DOG"), None))
    lines, report = made(data, "word", most_frequent=2)
    assert [line.split()[3:] for line in lines] == [[word, "-", "-", "s"] for word in ("THE", "CAT") * 2 + ("THE",)]
    assert report["left out"]["not among the most frequent"] == 3
    assert report["utterances with items"] == 1
    lines, _ = made(data, "word", most_frequent=3)
    assert {line.split()[3] for line in lines} == {"THE", "CAT", "DOG"}
    assert len(made(data, "word", most_frequent=None)[0]) == 8


@pytest.mark.parametrize(
    ("utterances", "values", "message"),
    [
        (
            [("u", "s", None, tier("A", "SIL", "B"))],
            {},
            "no aligned token of 1 utterances lasts 0.07 s without a pause",
        ),
        ([("u", "s", None, tier("A", "B", "C"))], {"shortest": 2.0}, "lasts 2 s"),
        ([("u u", "s", None, tier("A", "B", "C"))], {}, "'u u' has a space"),
        ([("u", "s s", None, tier("A", "B", "C"))], {}, "'s s' has a space"),
    ],
)
def test_settings_and_names_that_give_no_items_are_refused(tmp_path, utterances, values, message):
    data = store(tmp_path, *utterances)
    with pytest.raises(InputError, match=message):
        made(data, **values)
    assert not data.with_suffix(".item").exists()


PHONES = tier("A", "B", "C")


@pytest.mark.parametrize(
    ("utterances", "of", "reason", "remedy"),
    [
        (
            [("u", "s", tier("WORD"), None)],
            "triphone",
            "no aligned phones",
            "corpus.items, or TextGrids with a tier of phones",
        ),
        ([("u", None, tier("WORD"), None)], "phoneme", "no aligned phones", "or leave phoneme out of abx.conditions"),
        ([("u", "s", None, PHONES)], "word", "no aligned words", "TextGrids with a tier of words in corpus.alignments"),
        ([("u", "s", None, PHONES)], "syllable", "no aligned syllables", "or leave syllable out of abx.conditions"),
        ([("u", None, None, PHONES), ("v", "s", None, None)], "triphone", "no speakers", "add `speaker`"),
    ],
)
def test_a_split_that_lacks_what_items_are_made_of_has_none_and_says_why(tmp_path, utterances, of, reason, remedy):
    data = store(tmp_path, *utterances)
    out, report = data.with_suffix(".item"), data.with_suffix(".items.json")
    abx_items.make(data, of, Items(), out, report)
    assert out.read_text() == HEADER
    assert out.with_name(f"{out.name}.sha256").is_file()
    content = json.loads(report.read_text())
    assert (content["not_available"], content["items"]) == (f"the split has {reason}", 0)
    assert remedy in content["remedy"]
    assert abx_items.why_none(report) == f"the split has {reason}"


def test_a_report_of_items_has_no_reason(tmp_path):
    data = store(tmp_path, ("u", "s", None, tier("A", "B", "C")))
    assert "not_available" not in made(data)[1]
    assert abx_items.why_none(data.with_suffix(".items.json")) == ""
    (tmp_path / "x.json").write_text('{"not_available": 3}')
    with pytest.raises(InputError, match=r"x\.json: is no report of make-items"):
        abx_items.why_none(tmp_path / "x.json")


@settings(max_examples=12)
@given(st.lists(st.sampled_from(["A", "B", "AH0", "SIL", "sp", "", "a b"]), min_size=1, max_size=12))
def test_every_phone_is_an_item_or_counted(tmp_path, labels):
    data = store(tmp_path, ("u", "s", None, tier(*labels, step=0.05)), ("v", "s", None, tier("A", "B", "C")))
    lines, report = made(data)
    speech = [label for label in labels if label not in ("SIL", "sp", "")]
    assert len(lines) + sum(report["left out"].values()) == len(speech) + 3
    phonemes, report = made(data, "phoneme")
    assert len(phonemes) + sum(report["left out"].values()) == len(speech) + 3
    assert [line.split()[3:] for line in phonemes] == [line.split()[3:] for line in lines]


fields = st.sampled_from(
    [
        "u1",
        "0.1",
        "0.5",
        "-1",
        "nan",
        "1e999999",
        "1e-999999",
        "9" * 400,
        "../x",
        "/x",
        "\x00",
        "\x1b[2J",
        "é",
        "x" * 300,
    ]
)
item_lines = st.lists(fields, max_size=9).map(" ".join) | st.just("u1 0.1 0.5 A B C s1")


@given(
    st.lists(item_lines, max_size=6).map(lambda lines: "\n".join([HEADER, *lines]).encode()) | st.binary(max_size=60)
)
def test_any_item_file_is_read_or_refused(tmp_path, content):
    path = tmp_path / "a.item"
    path.write_bytes(content)
    try:
        items = read_items(path)
    except InputError as e:
        text = str(e)
        assert str(path) in text
        assert "\x1b" not in text
        assert "\0" not in text
    else:
        assert items
        assert all(0 <= item.onset < item.offset < 1_000_000 for item in items)


ITEMS = [Item(name, Decimal("0.1"), Decimal("0.2"), "AH", "K", "T", "s1") for name in "ab"]
ROWS = "a 0.1 0.2 AH K T s1\nb 0.1 0.2 AH K T s1\n"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "with a mark"])
@pytest.mark.parametrize(
    "text",
    [
        HEADER + ROWS,
        (HEADER + ROWS).replace("\n", "  \r\n\r\n"),
        (HEADER + ROWS).replace(" ", "\t"),
        "#file onset offset #phone prev_phone next_phone speaker\n" + ROWS,
        "File Onset Offset Phone Prev-phone Next-phone Speaker\n" + ROWS,
        HEADER + ROWS.replace("b ", HEADER + "b "),
        f"# of the dev set\n;; made by hand\n{HEADER}# of a\n{ROWS};; of b\n",
        "#word #phone #file onset offset speaker prev-phone next-phone\ncut AH a 0.1 0.2 s1 K T\nbut AH b 0.1 0.2 s1 K T\n",
    ],
    ids=["plain", "windows", "tabs", "underscores", "capitals", "put together", "comments", "more columns"],
)
def test_item_files_as_they_occur(tmp_path, text, mark):
    path = tmp_path / "a.item"
    path.write_bytes(mark + text.encode())
    assert list(read_items(path)) == ITEMS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "",
            r"a\.item:1: the first line must name the columns '#file onset .*', each once, .* has 'file' 0 times, 'onset' 0",
        ),
        (
            "\n#file onset offset #phone context talker\n" + ROWS,
            r"a\.item:2: .* 'next-phone' 0 times, 'speaker' 0 times",
        ),
        (HEADER.replace("#file", "#file #file"), r"a\.item:1: .*; it has 'file' 2 times"),
        (ROWS, r"a\.item:1: the first line must name"),
        (HEADER + "# x\n" + ROWS + "c 0.1 0.2 AH K T\n", r"1 bad rows; .*\na\.item:5: 6 fields, not 7"),
        (HEADER + "a 0,1 0,2 A K T s\n", r"a\.item:2: onset '0,1' and offset '0,2' must be numbers"),
        (HEADER + "a 0_1 2 A K T s\na ٣ 4 A K T s\n", r"2 bad rows; .*\na\.item:2: .*\na\.item:3: onset"),
        (HEADER + "# only this\n", r"a\.item: holds no item"),
    ],
)
def test_what_is_no_item_file_is_refused_with_its_line(tmp_path, text, message):
    (tmp_path / "a.item").write_text(text)
    with pytest.raises(InputError, match=message):
        read_items(tmp_path / "a.item")


def test_bad_rows_are_not_kept_without_bound(tmp_path):
    path = tmp_path / "a.item"
    path.write_text("\n".join([HEADER, *["x " * 2000] * 5000]))
    with pytest.raises(InputError, match="1000 or more bad rows") as caught:
        read_items(path)
    assert len(str(caught.value)) < 25_000
