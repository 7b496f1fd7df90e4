"""Files that are not what they should be: one readable message with all of them, and nothing written."""

import io
import json
import pickle
import re

import h5py
import numpy as np
import pytest
from external.made_elsewhere import NAMES, frames_of, imported, split_of
from hypothesis import given, settings
from hypothesis import strategies as st

from resdavenet_vq.errors import InputError
from resdavenet_vq.external.records import MAX_CODES, Faults, as_labels
from resdavenet_vq.external.segments import read as read_segments
from resdavenet_vq.external.texts import read_jsonl, read_km, read_txt


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    return split_of(tmp_path_factory.mktemp("split"))


def npy(values, **options):
    out = io.BytesIO()
    np.save(out, values, **options)
    return out.getvalue()


class Canary:
    """What a pickle must not make."""

    def __reduce__(self):
        return (print, ("unpickled",))


CODES = npy(np.arange(30))
ARRAYS = {
    "a pickled array": (npy(np.array([Canary()], object)), "holds |O.*no numbers|no .npy"),
    "a pickle": (pickle.dumps(Canary()), "is no .npy file"),
    "a truncated array": (CODES[:-8], "has 232 bytes of numbers where its header says 240: truncated"),
    "an array of another size": (
        CODES.replace(b"(30,)", b"(9" + b"9" * 12 + b",)"[:2])[: len(CODES)],
        "truncated|damaged",
    ),
    "garbage": (bytes(range(256)), "is no .npy file"),
    "nothing": (b"", "is no .npy file"),
    "negative codes": (npy(np.array([3, -1])), "a unit is -1, not from 0 to"),
    "huge codes": (npy(np.array([2**62])), "a unit is 4611686018427387904, not from 0 to"),
    "huge unsigned codes": (npy(np.array([2**64 - 1], np.uint64)), "a unit is 18446744073709551615, not"),
    "not a number": (npy(np.array([np.nan])), "a unit is not finite"),
    "no whole number": (npy(np.array([1.5])), "a unit is 1.5, no whole number; are these continuous features"),
    "a table": (npy(np.zeros((4, 5), int)), r"holds int64 of shape \(4, 5\)"),
    "texts": (npy(np.array(["a"])), "no numbers"),
}


@pytest.mark.parametrize(("content", "message"), ARRAYS.values(), ids=ARRAYS)
def test_arrays(split, tmp_path, content, message, capfd):
    for name, units in frames_of(split, 0.02).items():
        np.save(tmp_path / f"{name}.npy", units)
    (tmp_path / f"{NAMES[1]}.npy").write_bytes(content)
    with pytest.raises(InputError, match=message) as e:
        imported(split, tmp_path, tmp_path, format="npy", frame_period=0.02)
    assert str(e.value).count("\n") == 1
    assert f"{NAMES[1]}.npy" in str(e.value)
    assert not (tmp_path / "out").exists()
    assert "unpickled" not in capfd.readouterr().out


def test_all_faults_in_one_message(split, tmp_path):
    codes = frames_of(split, 0.02)
    for name in NAMES:
        np.save(tmp_path / f"{name}.npy", codes[name])
    (tmp_path / "utt-0.npy").write_bytes(b"x")
    np.save(tmp_path / "utt-1.npy", [-1])
    np.save(tmp_path / "utt-2.npy", codes["utt-2"] * 2)
    with pytest.raises(InputError) as e:
        imported(split, tmp_path, tmp_path, format="npy", frame_period=0.02)
    first, *lines = str(e.value).splitlines()
    assert first.startswith("Faults of units made elsewhere (3)")
    assert [re.search(r"utt-\d", line)[0] for line in lines] == ["utt-0", "utt-1", "utt-2"]
    assert "correct frame_period (is it 0.01" in lines[2]


def test_utterances_without_units(split, tmp_path):
    codes = frames_of(split, 0.02)
    np.save(tmp_path / "utt-3.npy", codes["utt-3"])
    with pytest.raises(InputError, match=r"3 of 4 utterances of the split have no units.*\nutt-0\nutt-1\nutt-2"):
        imported(split, tmp_path, tmp_path, format="npy", frame_period=0.02)


LINES = {
    "units without a name": ("1 2 3", "line 1: has no name"),
    "words and numbers": ("utt-0\t1 x 3", "units are numbers \\('1'\\) and names \\('x'\\)"),
    "negative": ("utt-0\t1 -2", "a unit is -2, not"),
    "huge": (f"utt-0\t{'9' * 400}", "a unit is not finite|not from 0"),
    "eleven digits": ("utt-0\t99999999999", "a unit is 99999999999, not"),
    "fractions": ("utt-0\t0.25 0.5", "no whole number; are these continuous"),
    "empty": ("utt-0\t", "has 0.000|0 frames"),
}


@pytest.mark.parametrize(("line", "message"), LINES.values(), ids=LINES)
def test_lines(split, tmp_path, line, message):
    (tmp_path / "u.txt").write_text(line + "\n")
    with pytest.raises(InputError, match=message):
        imported(split, tmp_path, tmp_path / "u.txt", format="txt", frame_period=0.02)


OBJECTS = {
    "no JSON": ("{", "malformed JSON at column"),
    "a list": ("[]", "is no JSON object"),
    "no name": ('{"units": [1]}', "has no name"),
    "a number as name": ('{"id": 3, "units": [1]}', "has no name"),
    "no units": ('{"id": "utt-0"}', "no list of whole numbers or names"),
    "fractions": ('{"id": "utt-0", "units": [1.5]}', "no list of whole numbers or names"),
    "too few durations": ('{"id": "utt-0", "units": [1, 2], "durations": [1]}', "has 2 units and 1 durations"),
    "no durations": ('{"id": "utt-0", "units": [1, 2], "durations": [0.1, null]}', "no number of seconds"),
    "a duration of 0": ('{"id": "utt-0", "units": [1, 2], "durations": [0, 3]}', "a duration in frames is no whole"),
    "infinite": ('{"id": "utt-0", "units": [1], "durations": [Infinity]}', "no number of seconds"),
    "endless": ('{"id": "utt-0", "units": [1], "frames": [99999999999]}', "a duration in frames is no whole"),
    "thousands of digits": (f'{{"id": "utt-0", "units": [{"1" * 5000}]}}', "digits"),
    "another period": ('{"id": "utt-0", "units": [1], "frame_period": 0.5}', "its frame_period is 0.5, and"),
    "no multiples": ('{"id": "utt-0", "units": [1, 2], "durations": [0.03, 0.05]}', "no multiples of 0.02 s"),
    "nested": ('{"id": "utt-0", "units": ' + "[" * 100000, "maximum recursion|nested|malformed"),
}


@pytest.mark.parametrize(("line", "message"), OBJECTS.values(), ids=OBJECTS)
def test_objects(split, tmp_path, line, message):
    (tmp_path / "u.jsonl").write_text(line + "\n")
    with pytest.raises(InputError, match=message) as e:
        imported(split, tmp_path, tmp_path / "u.jsonl", format="jsonl", frame_period=0.02)
    assert len(str(e.value)) < 4000


ROWS = {
    "not a time": ("a b 1", "a start or end is no number"),
    "NaN": ("nan 0.1 1", "not from 0 to"),
    "before the beginning": ("-1 0.1 1", "not from 0 to"),
    "empty": ("0.1 0.1 1", "from 0.1 to 0.1 is empty"),
    "overlapping": ("0 0.2 1\n0.1 0.3 1", "from 0 to 0.2 and from 0.1 to 0.3 overlap"),
    "behind the end": ("0 9 1", "the audio has 0.5"),
    "at the end of time": ("0 9999999 1", "later than any recording"),
    "two parts": ("0 1", "line 1: has 2 parts"),
    "tiny": ("\n".join(f"{i / 1000} {(i + 1) / 1000} 1" for i in range(9)), "finer resolution"),
}


@pytest.mark.parametrize(("text", "message"), ROWS.values(), ids=ROWS)
def test_segments(split, tmp_path, text, message):
    (tmp_path / "utt-0.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        imported(split, tmp_path, tmp_path, format="segments")


TABLES = {
    "no names": ("start,end,unit\n0,0.1,3", "no column names the utterance"),
    "no starts": ("id,end,unit\nutt-0,0.1,3", "has no start"),
    "short rows": ("id,start,end,unit\nutt-0,0.1", "a start or end is no number"),
    "apart": ("id,start,end,unit\nutt-0,0,0.1,1\nutt-1,0,0.1,1\nutt-0,0.1,0.2,1", "has units of utt-0 a second time"),
}


@pytest.mark.parametrize(("text", "message"), TABLES.values(), ids=TABLES)
def test_tables(split, tmp_path, text, message):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        imported(split, tmp_path, tmp_path / "s.csv", format="segments")


def test_a_manifest_of_another_length(split, tmp_path):
    (tmp_path / "u.km").write_text("1 2\n3 4\n")
    (tmp_path / "u.tsv").write_text("/root\nutt-0.wav\t1\n")
    with pytest.raises(InputError, match=r"u\.km: has more utterances than .*u\.tsv"):
        imported(split, tmp_path, tmp_path / "u.km", format="km", frame_period=0.02)
    (tmp_path / "u.tsv").unlink()
    with pytest.raises(InputError, match=r"u\.tsv: no such file"):
        imported(split, tmp_path, tmp_path / "u.km", format="km", frame_period=0.02)


@pytest.mark.parametrize("form", ["npy", "txt", "km", "jsonl", "hdf5", "segments", "features_npy", "features_txt"])
def test_binary_garbage_and_what_is_not_there(split, tmp_path, form):
    (tmp_path / "folder").mkdir()
    garbage = np.random.default_rng(0).bytes(3000)
    for suffix in ("npy", "txt", "km", "jsonl", "h5", "csv"):
        (tmp_path / f"folder/utt-0.{suffix}").write_bytes(garbage)
    more = {} if form in {"segments", "hdf5"} else {"frame_period": 0.02}
    for path in (tmp_path / "folder", tmp_path / "absent", *sorted((tmp_path / "folder").iterdir())):
        with pytest.raises(InputError) as e:
            imported(split, tmp_path, path, format=form, codes=not form.startswith("features"), **more)
        assert len(str(e.value)) < 3000
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_features_that_are_not_finite(split, tmp_path, value):
    for name, codes in frames_of(split, 0.02).items():
        rows = np.zeros((len(codes), 2))
        rows[3, 1] = value if name == "utt-2" else 0
        np.save(tmp_path / f"{name}.npy", rows)
        np.savetxt(tmp_path / f"{name}.txt", rows)
    for form in ("features_npy", "features_txt"):
        with pytest.raises(InputError, match=r"utt-2\.\w+: holds values that are not finite"):
            imported(split, tmp_path, tmp_path, format=form, frame_period=0.02, codes=False)


def test_features_of_several_widths(split, tmp_path):
    for name, codes in frames_of(split, 0.02).items():
        np.save(tmp_path / f"{name}.npy", np.zeros((len(codes), 2 + (name == "utt-1"))))
    with pytest.raises(InputError, match=r"utt-1\.npy: has 3 values a frame, and others 2"):
        imported(split, tmp_path, tmp_path, format="features_npy", frame_period=0.02, codes=False)
    (tmp_path / "t.txt").write_text("1 2\n1 2 3\n")
    with pytest.raises(InputError, match=r"t\.txt, line 2: has 3 values"):
        imported(split, tmp_path, tmp_path / "t.txt", format="features_txt", frame_period=0.02, codes=False)


def test_hdf5_that_loops_or_links_elsewhere(split, tmp_path):
    with h5py.File(tmp_path / "u.h5", "w") as file:
        file["a/b"] = np.arange(3)
        file["a/loop"] = file["a"]
        file["away"] = h5py.ExternalLink("/etc/passwd", "x")
    with pytest.raises(InputError, match="in more than 16 groups"):
        imported(split, tmp_path, tmp_path / "u.h5", format="hdf5", frame_period=0.02)


def test_names_and_numbers_in_two_splits(split, tmp_path):
    codes = frames_of(split, 0.02)
    (tmp_path / "a.txt").write_text("\n".join(f"{name}\t{' '.join(map(str, units))}" for name, units in codes.items()))
    (tmp_path / "b.txt").write_text("x\ta b c")
    with pytest.raises(InputError, match=r"b\.txt, line 1: units are numbers here and names elsewhere"):
        imported(
            split, tmp_path, tmp_path / "a.txt", format="txt", frame_period=0.02, others={"train": tmp_path / "b.txt"}
        )


@settings(max_examples=150)
@given(st.binary(max_size=200))
def test_any_bytes_give_records_or_faults(tmp_path, content):
    for suffix, read in ((".txt", read_txt), (".jsonl", lambda p, f: read_jsonl(p, f, None)), (".csv", read_segments)):
        path = tmp_path / f"x{suffix}"
        path.write_bytes(content)
        path.with_suffix(".tsv").write_bytes(content)
        for reader in (read, read_km):
            try:
                for record in reader(path, Faults()):
                    assert len(record.units) >= 0
            except InputError:
                pass


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), max_size=5))
def test_any_words_are_codes_or_names_or_refused(words):
    try:
        labels = as_labels(words)
    except ValueError:
        return
    if isinstance(labels, np.ndarray):
        assert (labels >= 0).all()
        assert (labels < MAX_CODES).all()
        assert labels.tolist() == [float(word) for word in words]
    else:
        assert labels == words


@pytest.mark.parametrize("value", [{"id": "a", "units": [1], "frames": [True]}, {"id": "a", "units": [True]}])
def test_truth_values_are_no_numbers(tmp_path, value):
    (tmp_path / "u.jsonl").write_text(json.dumps(value))
    faults = Faults()
    assert list(read_jsonl(tmp_path / "u.jsonl", faults, None)) == []
    with pytest.raises(InputError):
        faults.check("x")
