"""Texts that come from files neither command the terminal nor fill it."""

import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resdavenet_vq.corpus import paths
from resdavenet_vq.corpus.manifest import Refusal, refusals
from resdavenet_vq.errors import LONGEST_FAULT, MOST_LINES, InputError, listed, message, printable, shortened
from resdavenet_vq.files import read_json
from resdavenet_vq.progress import track

HOSTILE = "\x1b[2J\r\x9b31m\u202e\u2066\u2028\x85\nrow 7 (u): forged\ud800"


@given(st.text(st.characters()))
def test_what_is_printable_is_one_line_that_can_be_written(text):
    shown = printable(text)
    assert len(shown.splitlines()) <= 1
    assert not any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in shown)
    shown.encode()
    assert printable(shown) == shown


def test_ordinary_text_stays():
    assert printable("Ünïcödé, ‘quotes’ 山 שלום\t", keep="\t") == "Ünïcödé, ‘quotes’ 山 שלום\t"
    assert printable(os.fsdecode(b"a\xff.wav")) == r"a\xff.wav"
    assert printable(HOSTILE) == (r"\x1b[2J\r\x9b31m\u202e\u2066\u2028\x85\nrow 7 (u): forged\ud800")


def test_a_list_has_one_line_a_fault_whatever_they_say():
    text = listed([HOSTILE] * 1_000_000)
    assert len(text.splitlines()) == 21
    assert text.endswith("... and 999980 more")
    assert len(listed(["x" * 10_000_000])) < LONGEST_FAULT + 100
    assert shortened("a" * 600 + "b" * 600).startswith("a" * 600)


def test_a_message_keeps_its_lines_and_is_bounded():
    assert message("one\ntwo\t\x1b") == "one\ntwo\t\\x1b"
    many = message("\n".join(map(str, range(100_000)))).split("\n")
    assert len(many) == MOST_LINES
    assert many[0] == "0"
    assert many[-2:] == ["... and 99751 lines more", "99999"]
    assert len(message("x" * 10_000_000)) < 5000


def test_refused_rows_are_listed_and_counted():
    refused = [Refusal(n, f"u{n}", f"a\n{n}.wav", "x" * 5000) for n in range(30)]
    text = refusals(refused, 50)
    lines = text.splitlines()
    assert lines[0] == "30 of 50 rows cannot be used:"
    assert lines[1].startswith(r"row 0 (u0): a\n0.wav: xxx")
    assert lines[21] == "... and 10 more"
    assert len(lines) == 23
    assert len(text) < 25_000


@pytest.mark.parametrize("text", ["a\x85b", "a\u2028b", "a\x9b"])
def test_ids_and_paths_have_no_control_characters(text):
    assert paths.path_fault(text) == "contains a control character"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' * 100_000, "nested too deeply"),
        (b'{"a": NaN}', "NaN is no finite number"),
        (b"[-Infinity]", "-Infinity is no finite number"),
        (b"[1e999]", "1e999 is no finite number"),
        (b"1" * 5000, "cannot be read as JSON"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "'c' is listed twice"),
        (b'["\\ud800"]', "half of a character"),
        (b'\xef\xbb\xbf{"a": 1}', "malformed JSON at line 1, column 1"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'{"a":\n x}', "malformed JSON at line 2, column 2"),
        (b"", "malformed JSON"),
    ],
)
def test_a_small_json_file_is_sound_or_refused(tmp_path, content, text):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=text) as caught:
        read_json(path)
    assert str(path) in str(caught.value)
    path.write_text('{"a": ["\\ud83d\\ude00", "\\\\ud800", 1.5, 12]}')
    assert read_json(path) == {"a": ["😀", "\\ud800", 1.5, 12]}


def test_a_json_file_of_gigabytes_is_refused(tmp_path, monkeypatch):
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(1 << 40)
    monkeypatch.setattr("resdavenet_vq.files.MAX_JSON_BYTES", 1 << 20)
    with pytest.raises(InputError, match="larger than 1,048,576 bytes"):
        read_json(tmp_path / "a.json")


def test_progress_shows_a_label_on_one_line(capsys):
    assert list(track([1, 2], f"{HOSTILE} {'x' * 10_000}", unit="rows")) == [1, 2]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(r"\x1b[2J")
    assert len(line) < 300
