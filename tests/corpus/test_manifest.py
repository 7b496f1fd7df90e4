import itertools
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import oracles.corpus as oracle_corpus
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resdavenet_vq.corpus.manifest import SILENCE, Interval, Utterance, format_alignment, is_silence, parse_alignment
from resdavenet_vq.errors import InputError

WORDS, PHONES = (Interval(0.0, 0.25, "A"), Interval(0.25, 0.5, "CAT")), (Interval(0.0, 0.25, "AH"),)
SYLLABLES = (Interval(0.0, 0.25, "ə"), Interval(0.25, 0.5, "kæt"))
FULL = Utterance("a/1", Path("wavs/1.wav"), Path("images/1.jpg"), "1.jpg", "spk1", "a cat", WORDS, PHONES)
WITH_SYLLABLES = replace(FULL, syllables=SYLLABLES)
BARE = Utterance("b", Path("b.wav"), *(None,) * 6)


@pytest.mark.parametrize("utterance", [FULL, WITH_SYLLABLES, BARE])
def test_an_utterance_survives_json(utterance):
    assert Utterance.from_dict(json.loads(json.dumps(utterance.to_dict()))) == utterance


def test_a_row_without_syllables_is_as_before_there_were_any():
    assert list(FULL.to_dict()) == ["id", "wav", "image", "image_id", "speaker", "text", "words", "phones"]
    assert list(WITH_SYLLABLES.to_dict()) == [*FULL.to_dict(), "syllables"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", 3),
        ("wav", None),
        ("words", 5),
        ("words", [[0, 1]]),
        ("words", [["x", 1, "A"]]),
        ("phones", [[0, 1, None]]),
        ("syllables", [[0, 1]]),
    ],
)
def test_another_row_is_refused(key, value):
    with pytest.raises(InputError, match=f"not a manifest row .{key}"):
        Utterance.from_dict(FULL.to_dict() | {key: value})


@pytest.mark.parametrize("key", FULL.to_dict())
def test_a_row_without_a_key_is_refused(key):
    row = FULL.to_dict()
    del row[key]
    with pytest.raises(InputError, match=key):
        Utterance.from_dict(row)


@pytest.mark.parametrize(
    ("text", "words", "bad"),
    [
        ("0.2__WORD__0.5 0.5__NEXT__0.9", ((0.2, 0.5, "WORD"), (0.5, 0.9, "NEXT")), 0),
        ("", None, 0),
        ("  \n ", None, 0),
        ("0.2__WORD", None, 1),
        ("0.2__WORD__0.5__0.6 1__B__2", ((1.0, 2.0, "B"),), 1),
        ("nan__A__1", None, 1),
        ("0__A__nan", None, 1),
        ("0__A__inf 0__A__1e999 -inf__A__1", None, 3),
        ("-0.1__A__1", None, 1),
        ("0.5__A__0.4", None, 1),
        ("0.5__A__0.5", ((0.5, 0.5, "A"),), 0),
        ("1_0__A__20", None, 1),
        ("٣__A__4", None, 1),
        ("0x1__A__2", None, 1),
        ("0____1", None, 1),
        ("1e-1__A__1.", ((0.1, 1.0, "A"),), 0),
    ],
)
def test_alignments(text, words, bad):
    assert parse_alignment(text) == (words, bad)


tokens = st.lists(
    st.one_of(
        st.sampled_from(["0.1", "1", "-1", "nan", "inf", "A", "__", "_", "1_0", " ", "0.5__B__0.7"]),
        st.text(max_size=5),
    ),
    max_size=12,
)


@given(st.one_of(st.text(), tokens.map("".join), tokens.map("__".join)))
@example("0__A__1\x1c0__B__1")
def test_any_text_parses_like_the_oracle(text):
    assert parse_alignment(text) == oracle_corpus.parse_alignment(text)


times = st.integers(0, 10**8).map(lambda n: n / 10000)
spans = st.tuples(times, times).map(sorted)


@given(st.lists(st.tuples(spans, st.text("ABC'", min_size=1)), min_size=1))
def test_a_formatted_alignment_parses_back(rows):
    intervals = tuple(Interval(start, end, label) for (start, end), label in rows)
    assert parse_alignment(format_alignment(intervals)) == (intervals, 0)


def test_the_scripts_of_the_report_take_the_same_labels_for_silence():
    """Where there is Node.js; in Chromium the search of words skips them."""
    if not (node := shutil.which("node")):
        pytest.skip("there is no Node.js")
    parts = [
        "",
        "sil",
        "SP",
        "spn",
        "!SIL",
        "<b>",
        "<UNK>",
        "<Spoken_Noise>",
        "[x]",
        "{x}",
        "((",
        " ",
        "))",
        "{",
        "w[",
        "]",
    ]
    labels = [a + b for a, b in itertools.product(parts, repeat=2)]
    script = "const [p, l] = JSON.parse(process.argv[1]); console.log(JSON.stringify(l.map(x => new RegExp(p).test(x.trim()))))"
    command = [node, "-e", script, json.dumps([SILENCE.pattern, labels])]
    answers = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert answers == [is_silence(label) for label in labels]
    assert 20 < sum(answers) < len(labels)
