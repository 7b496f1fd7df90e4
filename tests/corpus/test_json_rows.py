"""Rows of a large JSON file are those of the whole file, in bounded memory."""

import gzip
import json
import math
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

CONSTANTS = {"NaN": None, "Infinity": math.inf, "-Infinity": -math.inf}


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
        expected = json.loads(text, parse_constant=CONSTANTS.get)
        assert list(found) == [(f"data[{n}]", row) for n, row in enumerate(expected.pop("data"))]
        assert found.others == expected


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
            found = [row for _, row in read(tmp_path / "a.json", broken)]
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


ROWS = [{"wav": "a.wav", "uttid": 7}, {"wav": "b.wav", "x": {"é": [1, None]}}, {"wav": "c.wav"}]
LINES = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
FORMS = {
    "an object": (json.dumps({"data": ROWS, "audio_base_path": "w"}), ["data[0]", "data[1]", "data[2]"]),
    "a list": (json.dumps(ROWS, indent=1), ["[0]", "[1]", "[2]"]),
    "JSON Lines": (f"{LINES}\n", ["line 1", "line 3", "line 5"]),
    "JSON Lines without a last line end": (LINES, ["line 1", "line 3", "line 5"]),
    "indented objects": ("\n".join(json.dumps(row, indent=2) for row in ROWS), ["line 1", "line 5", "line 14"]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda b: gzip.compress(b[:9]) + gzip.compress(b[9:])])
@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_forms_of_a_list_have_the_same_rows(tmp_path, chunks, form, mark, pack, chunk):
    chunks(chunk)
    text, places = FORMS[form]
    rows = read(tmp_path / "a.json", pack(mark + text.encode()))
    assert list(rows) == list(zip(places, ROWS, strict=True))
    assert list(rows) == list(zip(places, ROWS, strict=True)), "again"
    assert rows.others == ({"audio_base_path": "w"} if form == "an object" else {})


def test_one_line_is_json_lines_by_its_name(tmp_path):
    for name in ("a.jsonl", "a.ndjson", "a.jsonl.gz"):
        assert list(read(tmp_path / name, '{"wav": "a"}')) == [("line 1", {"wav": "a"})]
    with pytest.raises(InputError, match=r"not in a layout; it must be .* or an object a line \(\.jsonl\)"):
        read(tmp_path / "a.json", '{"wav": "a"}')
    assert list(read(tmp_path / "a.jsonl", '{"data": [1]}')) == [("data[0]", 1)], "its content is an object with a list"


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_is_named(tmp_path, encoding, pack):
    message = "UTF-16 text, as programs on Windows may write it; save it as UTF-8"
    with pytest.raises(InputError, match=f"^{tmp_path}/a.json: {message}$"):
        read(tmp_path / "a.json", pack('{"data": [1]}'.encode(encoding)))
    (tmp_path / "a.txt").write_bytes("a.wav b.jpg #0\n".encode(encoding))
    with pytest.raises(InputError, match=f"^{tmp_path}/a.txt: {message}$"):
        list(rows.read_lines(tmp_path / "a.txt"))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[1, 2", "line 1, column 6: Expecting ',' or Expecting ']'"),
        ("[1] 2", "line 1, column 5: Extra data"),
        ('{"wav": 1}\n{"wav"', "line 2, column 7: Expecting ':' delimiter"),
        ('{"wav": 1}\n5 x', "line 2, column 3: Expecting value"),
    ],
)
def test_malformed_lists_and_lines_are_refused_with_their_place(tmp_path, text, place):
    with pytest.raises(InputError, match=f"malformed JSON at {place}$"):
        read(tmp_path / "a.json", text)


def test_nan_is_null_wherever_it_is(tmp_path):
    text = '{"data": [{"a": NaN, "b": [NaN, {"c": NaN}], "d": "NaN", "e": -Infinity}], "z": NaN}'
    rows = read(tmp_path / "a.json", text)
    assert list(rows) == [("data[0]", {"a": None, "b": [None, {"c": None}], "d": "NaN", "e": -math.inf})]
    assert rows.others == {"z": None}


def test_objects_with_a_repeated_key_are_marked(tmp_path):
    one, other = '{"wav": 1, "x": 2, "wav": 3}', '{"wav": {"y": 1, "y": 1}}'
    for text in (f'{{"data": [{one}, {other}]}}', f"[{one}, {other}]", f"{one}\n{other}"):
        first, second = (row for _, row in read(tmp_path / "a.json", text))
        assert (type(first), first.key, first) == (json_rows.RepeatedKeys, "wav", {"wav": 3, "x": 2})
        assert (type(second), type(second["wav"]), second["wav"].key) == (dict, json_rows.RepeatedKeys, "y")


@pytest.mark.parametrize("lost", [1, 8, 12, 200])
def test_truncated_gzip_data_are_refused(tmp_path, lost):
    packed = gzip.compress(json.dumps({"data": [{"wav": f"{n}.wav", "x": hash(str(n))} for n in range(90)]}).encode())
    with pytest.raises(InputError, match=f"^{tmp_path}/a.json.gz: the gzip data end too early; copy the file again$"):
        read(tmp_path / "a.json.gz", packed[:-lost])


def test_damaged_gzip_data_are_refused(tmp_path):
    packed = bytearray(gzip.compress(json.dumps({"data": [{"wav": f"{n}.wav"} for n in range(90)]}).encode()))
    for place in range(2, len(packed), 3):
        damaged = bytes([*packed[:place], packed[place] ^ 0x55, *packed[place + 1 :]])
        if 4 <= place < 10:  # the time, the level and the system, which say nothing of the content
            assert len(list(read(tmp_path / "a.json.gz", damaged))) == 90
        else:
            with pytest.raises(InputError, match=f"^{tmp_path}/a.json.gz: "):
                read(tmp_path / "a.json.gz", damaged)


def test_packed_lists_may_not_unpack_to_absurd_sizes(tmp_path, monkeypatch):
    monkeypatch.setattr("resdavenet_vq.corpus.text_files._ALWAYS", 1 << 20)
    path = tmp_path / "bomb.json.gz"
    path.write_bytes(gzip.compress(b'{"data": [' + b" " * (1 << 22) + b"1]}"))
    with pytest.raises(InputError, match=f"^{path}: unpacks to more than 200 times its size, as no list does$"):
        JsonRows(path, "data", "a layout")


UNPACKING = """
import sys
from pathlib import Path
from data.hostile import most_memory
from resdavenet_vq.corpus.json_rows import JsonRows
before = most_memory()
n = sum(1 for _ in JsonRows(Path(sys.argv[1]), "data", "a layout"))
print(most_memory() - before, n)
"""


def test_memory_holds_a_piece_of_a_packed_list(tmp_path):
    """A list of 60 MB, packed to less than 1 MB, in the memory of a list as small."""
    path, n = tmp_path / "many.jsonl.gz", 300_000
    with gzip.open(path, "wt") as file:
        file.writelines(f'{{"wav": "{k % 9}.wav", "text": "{"x" * 170}"}}\n' for k in range(n))
    tests = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": f"{tests.parent}:{tests}"}
    words = [sys.executable, "-c", UNPACKING, path]
    run = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    size, rows = map(int, run.stdout.split())
    assert rows == n
    assert size < 30_000_000
