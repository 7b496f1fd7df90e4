"""Rows of a large JSON file are those of the whole file, in bounded memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles.corpus import json_values

from resdavenet_vq.corpus import json_rows, manifest, rows
from resdavenet_vq.corpus.json_rows import JsonRows
from resdavenet_vq.errors import InputError


def read(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return JsonRows(path, "data", "a layout")


@pytest.fixture
def chunks(monkeypatch):
    """Sets how many bytes are read at a time."""
    return lambda n: monkeypatch.setattr(json_rows, "_CHUNK", n)


@given(
    st.lists(json_values, min_size=1, max_size=6),
    st.dictionaries(st.text(max_size=3).filter(lambda name: name != "data"), json_values, max_size=3),
    st.dictionaries(st.text(max_size=3).filter(lambda name: name != "data"), json_values, max_size=3),
    st.integers(1, 20),
    st.sampled_from([None, 1]),
    st.booleans(),
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
)
def test_rows_are_those_of_the_whole_file_wherever_it_is_cut(
    tmp_path, data, before, after, n, indent, ascii_only, mark
):
    content = before | {"data": data} | {name: value for name, value in after.items() if name not in before}
    text = json.dumps(content, indent=indent, ensure_ascii=True if "\\ud" in json.dumps(content) else ascii_only)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "_CHUNK", n)
        found = read(tmp_path / "a.json", mark + text.encode())
        expected = json.loads(text)
        assert repr(list(found)) == repr(expected.pop("data")), "as text: NaN is not equal to itself"
        assert repr(found.others) == repr(expected)


SOUND = '{"x": [1, {"y": "\\u00e9\\n"}],\n "data": [\n  {"wav": "a", "n": -1.5e3}, [true, null],\n  "é", 12], "z": 2}\n'


@given(
    st.integers(0, len(SOUND) - 1),
    st.sampled_from(["", ",", "}", '"', "x", "1", "\n", "[", "\\", "-"]),
    st.integers(1, 9),
)
def test_a_fault_has_its_line_and_column(tmp_path, place, text, n):
    """Those that json itself finds, where the outer layout is sound; nothing passes that json refuses."""
    broken = SOUND[:place] + text + SOUND[place + 1 :]
    fault = None
    try:
        json.loads(broken)
    except json.JSONDecodeError as e:
        fault = e
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "_CHUNK", n)
        try:
            found = list(read(tmp_path / "a.json", broken))
        except InputError as e:
            text = str(e)
            assert str(tmp_path / "a.json") in text
            if fault is not None and "Expecting" not in text and "malformed" in text:
                assert f"line {fault.lineno}, column {fault.colno}: {fault.msg}" in text
        else:
            assert fault is None
            assert found == json.loads(broken)["data"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"data": [1], "data": [2]}', "the member 'data' is listed twice"),
        ('{"a": 1, "a": 2, "data": [2]}', "the member 'a' is listed twice"),
        ("{" + "".join(f'"{i}": 0, ' for i in range(1001)) + '"data": [1]}', "is one of more than 1000"),
        ('{"data": [1, 2 3]}', "malformed JSON at line 1, column 16: Expecting ',' or Expecting ']'"),
        ('{"data": [1,\n 2] x}', "malformed JSON at line 2, column 5"),
        ('{"data": [1]} {}', "malformed JSON at line 1, column 15: Extra data"),
        ('{"data": [1]', "malformed JSON at line 1, column 13"),
        ('{"data": ["\n"]}', "Invalid control character"),
        (
            '{"data": [{"a": "' + "x" * (1 << 22) + '"}]}',
            "a row of more than 4,194,304 characters at line 1, column 11",
        ),
        ('{"data": ["' + "x" * 6_000_000, "a row of more than 4,194,304 characters"),
        (b'{"data": [1, "' + b"x" * 3_000_000 + b'\xff"]}', r"not UTF-8 text \(byte 3000014\)"),
    ],
)
def test_what_cannot_be_read(tmp_path, content, message):
    with pytest.raises(InputError, match=message) as caught:
        list(read(tmp_path / "a.json", content))
    assert str(tmp_path / "a.json") in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(InputError, match="is no regular file"):
        JsonRows(tmp_path / "pipe.json", "data", "a layout")
    with pytest.raises(InputError, match="is no regular file"):
        list(rows.read_lines(tmp_path / "pipe.json"))
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match="cannot be read"):
        JsonRows(tmp_path / "loop", "data", "a layout")


MEMORY = """
import sys
from pathlib import Path
from pathlib import Path
from data.hostile import most_memory
from resdavenet_vq.corpus import json_rows, places
from resdavenet_vq.errors import InputError
json_rows.MAX_ROWS = int(sys.argv[2])
before = most_memory()
try:
    places.read(Path(sys.argv[1]))
except InputError as e:
    print(most_memory() - before, e)
"""


@pytest.mark.parametrize(
    ("n", "most"), [(200_000, 100_000), pytest.param(10_000_000, manifest.MAX_ROWS, marks=pytest.mark.thorough)]
)
def test_more_rows_than_memory_should_hold_are_refused_before_any_is_kept(tmp_path, n, most):
    path = tmp_path / "many.json"
    with path.open("w") as file:
        file.write('{"audio_base_path": "a", "image_base_path": "b", "data": [')
        file.writelines('{"wav":"a"},' * 1000 for _ in range(n // 1000))
        file.write('{"wav":"a"}]}')
    tests = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": f"{tests.parent}:{tests}"}
    words = [sys.executable, "-c", MEMORY, path, str(most)]
    run = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    size, text = run.stdout.split(" ", 1)
    assert text.startswith(f"{path}: more than {manifest.MAX_ROWS:,} rows")
    assert int(size) < 30_000_000


def test_tables_have_bounds_too(tmp_path, monkeypatch):
    path = tmp_path / "table.txt"
    path.write_text("a\n\nb\n")
    assert list(rows.read_lines(path, 3)) == [(1, "a"), (3, "b")]
    with pytest.raises(InputError, match="more than 2 rows"):
        list(rows.read_lines(path, 2))
    path.write_bytes(b"a\n" + b"x" * (rows.MAX_LINE_BYTES + 1))
    with pytest.raises(InputError, match="line 2 has more than 1,048,576 bytes"):
        list(rows.read_lines(path))
    monkeypatch.setattr(manifest, "MAX_ROWS", 1)
    full = manifest.Manifest()
    full.refuse("", "", "bad")
    with pytest.raises(InputError, match="the split: more than"):
        full.refuse("", "", "bad")


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_path_that_no_system_has(tmp_path, name):
    with pytest.raises(InputError, match="cannot be the path of a file"):
        JsonRows(tmp_path / name, "data", "a layout")
