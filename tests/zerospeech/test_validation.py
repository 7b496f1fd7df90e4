"""Other people's submissions: good ones of every edition are accepted, each broken one is rejected for its own
reason."""

import os
import random
import re
import stat
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from clutter import litter
from typer.testing import CliRunner

from resdavenet_vq.commands import app, encode  # noqa: F401 - adds its commands
from resdavenet_vq.errors import InputError
from resdavenet_vq.zerospeech import contents, submission
from resdavenet_vq.zerospeech.validation import MOST_LISTED, Expected, validate

A, B = "0.5 -1e-3\n2 .25\n", "1 2\n3 4\n5 6\n"
WHO = {"author": "a", "affiliation": "b"}
TASK = {"abx distance": "dtw_kl", "system description": "c", "using parallel train": False, "using external data": True}
PARAMETERS = {
    "phonetic": {"metric": "cosine", "frame_shift": 0.01},
    "semantic": {"metric": "cosine", "pooling": "mean"},
}
META = WHO | {"description": "c", "open_source": False, "train_set": "d", "gpu_budget": 60.0, "parameters": PARAMETERS}
GOOD = {
    2019: {
        "metadata.yaml": yaml.safe_dump(WHO | TASK | {"open source": False}),
        "english/test/a.txt": A,
        "english/test/b.txt": B,
    },
    2020: {
        "metadata.yaml": yaml.safe_dump(WHO | {"open source": False}),
        "2019/metadata.yaml": yaml.safe_dump(TASK | {"hyperparameters": {"k": 512}}),
        "2019/english/test/a.txt": A,
        "2019/english/test/b.txt": B,
    },
    2021: {"meta.yaml": yaml.safe_dump(META), "phonetic/dev-clean/a.txt": A, "phonetic/dev-other/b.txt": B},
}
"""The files of submissions that keep every rule."""


def zipped(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for name, content in files.items():
            z.writestr(name, content)
    return path


def in_folder(path, files):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(content)
    return path


def changed(edition, name, **change):
    """A good submission with other entries in a YAML file."""
    values = yaml.safe_load(GOOD[edition][name])
    change = {key if edition == 2021 else key.replace("_", " "): value for key, value in change.items()}
    return {name: yaml.safe_dump(values | change)}


@pytest.mark.parametrize("edition", [2019, 2020, 2021])
@pytest.mark.parametrize("write", [zipped, in_folder])
def test_good_ones_are_accepted_and_their_edition_is_seen(tmp_path, edition, write):
    submission = write(tmp_path / "s", GOOD[edition])
    for asked in (None, edition):
        verdict = validate(submission, asked)
        assert (verdict.problems, verdict.notes, verdict.edition) == ([], [], edition)
        assert (verdict.files, verdict.frames, verdict.width) == (2, 5, 2)


@pytest.mark.parametrize(
    ("edition", "files"),
    [
        (2019, {"english/test/a.wav": "sound", "surprise/test/c.txt": "1 2 3\n", "code/x.py": "1"}),
        (2019, {"english/auxiliary_embedding1/a.txt": "1 2 3\n4 5 6\n", "english/test/b.txt": "1 2\r\n\n3 4"}),
        (2020, {"2019/surprise/test/c.txt": "1 2 3\n", "2019/code/README": "1", "2017/track1/x.txt": "?"}),
        (2020, {"2019/metadata.yaml": yaml.safe_dump(WHO | TASK | {"open source": False, "hyperparameters": "none"})}),
        (2021, {"phonetic/c.txt": "1\t2\n3   4\n", "lexical/dev.txt": "?", "code/x": "1"}),
        (2021, {"meta.yaml": yaml.safe_dump({k: META[k] for k in META if k != "gpu_budget"})}),
        (2021, changed(2021, "meta.yaml", visually_grounded=True)),
    ],
)
def test_what_some_submissions_have_besides(tmp_path, edition, files):
    assert validate(zipped(tmp_path / "s.zip", GOOD[edition] | files)).problems == []


def test_notes_reject_nothing(tmp_path):
    files = GOOD[2019] | {"metadata.yaml": yaml.safe_dump(WHO | TASK | {"open source": True})}
    verdict = validate(zipped(tmp_path / "s.zip", files))
    assert verdict.accepted
    assert "declares open source, but there is no code/" in verdict.notes[0]
    assert validate(zipped(tmp_path / "s.zip", files | {"code/x": "1"})).notes == []
    assert validate(zipped(tmp_path / "s.zip", GOOD[2021] | {"lexical/dev.txt": "?"})).notes == [
        "lexical/ was not checked"
    ]


NO_NUMBERS = "is not made of numbers separated by single spaces"
ENDLESS = "1 2\n" + "0 " * (submission.LONGEST_LINE // 2 + 9)
UNKNOWN_DISTANCE = "input should be 'dtw_cosine', 'dtw_kl' or 'levenshtein', not 'cosine'"
UNKNOWN_METRIC = "input should be 'cosine', 'euclidean', 'kl' or 'kl_symmetric'"
WRONG = [  # edition, a file, its text or other entries of it (None: no such file), beginning of the reason
    (2019, "english/test/a.txt", "", "is empty"),
    (2019, "english/test/a.txt", "\n\n", "is empty"),
    (2019, "english/test/a.txt", "1\n2\n", "has fewer than two columns"),
    (2019, "english/test/a.txt", "1 2\n1 2 3\n", "its lines have 2, 3 values"),
    (2019, "english/test/a.txt", "1 2\n1 nan\n", f"line 2 {NO_NUMBERS}"),
    (2019, "english/test/a.txt", "1  2\n", f"line 1 {NO_NUMBERS}"),
    (2019, "english/test/a.txt", "1 2 \n", f"line 1 {NO_NUMBERS}"),
    (2019, "english/test/a.txt", "1_0 2\n", f"line 1 {NO_NUMBERS}"),
    (2019, "english/test/a.txt", "1,2 3\n", f"line 1 {NO_NUMBERS}"),
    (2019, "english/test/a.txt", ENDLESS, "line 2 has more than 1048576 bytes; the file was read no further"),
    (2019, "english/test/b.txt", "1 2 3\n", "has 3 columns, other files have 2"),
    (2020, "2019/english/test/a.txt", "1 2 \n", f"line 1 {NO_NUMBERS}"),
    (2021, "phonetic/dev-other/b.txt", "1 2 3\n" * 2, "has 3 columns, other files have 2"),
    (2021, "phonetic/dev-clean/a.txt", "1 2\n-inf 1\ninf 1\n", f"line 2 {NO_NUMBERS} (and 1 more lines)"),
    (2021, "phonetic/dev-clean/a.txt", "1 2\n", "has 1 frame, and at least 2 are needed"),
    (2019, "notes.txt", "x", "is neither metadata.yaml nor english/test/*.txt"),
    (2019, "english/test/x/a.txt", A, "is neither metadata.yaml nor english/test/*.txt"),
    (2021, "phonetic/a.npy", "x", "is neither meta.yaml nor phonetic/**/*.txt"),
    (2019, "metadata.yaml", None, "is missing"),
    (2020, "metadata.yaml", None, "is missing"),
    (2020, "2019/metadata.yaml", None, "is missing"),
    (2021, "meta.yaml", None, "is missing"),
    (2019, "metadata.yaml", "[1, 2]", "the file must be a mapping, not [1, 2]"),
    (2019, "metadata.yaml", "a: [", "is no YAML (while parsing"),
    (2019, "metadata.yaml", "a: &a [x]\nb: [*a, *a]", "is no YAML (an alias"),
    (2019, "metadata.yaml", "[" * 2000, "is no YAML (nested too deeply)"),
    (2019, "metadata.yaml", "a: " + "x" * 70_000, "has more than 65536 bytes"),
    *(
        (edition, "metadata.yaml", entries, reason)
        for edition in (2019, 2020)
        for entries, reason in (
            ({"author": " "}, "'author': string should have at least 1 character, not ' '"),
            ({"affiliation": None}, "'affiliation': input should be a valid string, not None"),
            ({"open_source": "yes"}, "'open source': input should be a valid boolean, not 'yes'"),
            ({"colour": "red"}, "'colour' is not known"),
        )
    ),
    (2019, "metadata.yaml", {"abx_distance": "cosine"}, f"'abx distance': {UNKNOWN_DISTANCE}"),
    (2020, "2019/metadata.yaml", {"using_parallel_train": 0}, "'using parallel train': input should be a valid bool"),
    (2020, "2019/metadata.yaml", {"hyperparameters": None}, "'hyperparameters': must not be empty, not None"),
    *(
        (2021, "meta.yaml", {"parameters": {"phonetic": phonetic}}, f"'parameters.phonetic{reason}")
        for phonetic, reason in (
            ({"metric": "kl"}, ".frame_shift' is missing"),
            ({"metric": "kl", "frame_shift": "10 ms"}, ".frame_shift': input should be a valid number, not '10 ms'"),
            ({"metric": "l1", "frame_shift": 0.01}, f".metric': {UNKNOWN_METRIC}"),
            ([1], "' must be a mapping, not [1]"),
        )
    ),
]
NO_EDITION = "looks like no edition of 2019, 2020, 2021: there is neither metadata.yaml nor meta.yaml"
LACKING = [  # files, beginning of the reason
    *(
        ({name: text for name, text in GOOD[edition].items() if "yaml" in name} | more, f"{folder}/: holds no file")
        for edition, folder, more in (
            (2019, "english/test", {}),
            (2020, "2019/english/test", {"2019/surprise/test/a.txt": A}),
            (2021, "phonetic", {}),
        )
    ),
    ({f"mine/{name}": text for name, text in GOOD[2020].items()}, "everything is in the folder mine/; submit what"),
    ({"holiday.jpg": "x"}, NO_EDITION),
]


def broken(edition, name, content):
    """A submission with one fault."""
    if isinstance(content, dict):
        return GOOD[edition] | changed(edition, name, **content)
    return {key: text for key, text in (GOOD[edition] | {name: content}).items() if text is not None}


BROKEN = [(broken(edition, name, content), f"{name}: {reason}") for edition, name, content, reason in WRONG] + LACKING


@pytest.mark.parametrize(("files", "reason"), BROKEN)
@pytest.mark.parametrize("write", [zipped, in_folder])
def test_each_broken_one_is_rejected_for_its_reason_alone(tmp_path, files, reason, write):
    verdict = validate(write(tmp_path / "s", files))
    assert not verdict.accepted
    assert len(verdict.problems) == 1, verdict.problems
    assert verdict.problems[0].startswith(reason)


@pytest.mark.parametrize("edition", [2019, 2020, 2021])
def test_each_missing_entry_is_found(tmp_path, edition):
    for name in (name for name in GOOD[edition] if name.endswith("yaml")):
        entries = yaml.safe_load(GOOD[edition][name])
        for key in entries.keys() - {"gpu_budget"}:
            files = GOOD[edition] | {name: yaml.safe_dump({k: v for k, v in entries.items() if k != key})}
            assert validate(zipped(tmp_path / "s.zip", files)).problems == [f"{name}: '{key}' is missing"]


def test_many_problems_are_counted(tmp_path):
    files = GOOD[2019] | {f"english/test/x{i}.txt": "1 x\n" for i in range(MOST_LISTED + 312)}
    verdict = validate(zipped(tmp_path / "s.zip", files))
    assert len(verdict.problems) == MOST_LISTED + 312
    lines = verdict.report("s.zip").splitlines()
    assert lines[0] == f"s.zip: rejected as ZeroSpeech 2019 for {MOST_LISTED + 312} reasons"
    assert (len(lines), lines[-1]) == (MOST_LISTED + 2, "... and 312 more")


# Files that must be there


def test_exactly_the_expected_files_must_be_there(tmp_path):
    for edition, folder in ((2019, "english/test"), (2020, "2019/english/test")):
        path = zipped(tmp_path / "s.zip", GOOD[edition] | {folder.replace("english", "surprise") + "/c.txt": A})
        assert validate(path, expected=Expected(["a", "c"], "me")).problems == [
            f"{folder}/c.txt: is missing; me lists it",
            f"{folder}/b.txt: me does not list it",
        ]
        assert validate(path, expected=Expected(["x/a", "b"], "me")).problems == []
    path = zipped(tmp_path / "s.zip", GOOD[2021])
    assert validate(path, expected=Expected(["dev-clean/a", "dev-other/b"], "me")).problems == []
    assert validate(path, expected=Expected(["a", "b"], "me")).problems == []
    assert validate(path, expected=Expected(["dev-clean/a", "dev-clean/b"], "me")).problems == [
        "phonetic/dev-clean/b.txt: is missing; me lists it",
        "phonetic/dev-other/b.txt: me does not list it",
    ]
    with pytest.raises(InputError, match="two utterances have one name"):
        validate(zipped(tmp_path / "s.zip", GOOD[2019]), expected=Expected(["x/a", "y/a"], "me"))


def test_an_item_file_or_a_folder_lists_the_expected_files(tmp_path):
    (tmp_path / "wavs/sub").mkdir(parents=True)
    for name in ("a.wav", "sub/c.wav"):
        soundfile.write(tmp_path / "wavs" / name, np.zeros(10), 16000)
    lines = ["#file onset offset #phone prev-phone next-phone speaker"]
    lines += [f"{name} {onset} AA B C s" for name, onset in (("a", "0.1 0.2"), ("c", "0.1 0.2"), ("a", "0.3 0.4"))]
    (tmp_path / "x.item").write_text("\n".join(lines) + "\n")
    path = zipped(tmp_path / "s.zip", GOOD[2019])
    for option, source in (("--items", tmp_path / "x.item"), ("--wavs", tmp_path / "wavs")):
        result = CliRunner().invoke(app, ["validate-submission", str(path), option, str(source)])
        assert str(result.exception).splitlines()[1:] == [
            f"english/test/c.txt: is missing; {source} lists it",
            f"english/test/b.txt: {source} does not list it",
        ]


def test_a_zip_of_macos_is_rejected_for_that_alone(tmp_path):
    """The organizers' tools of 2020 refuse a folder beside those of the layout; those of 2021, any text besides."""
    clutter = {"__MACOSX/._metadata.yaml": "\0", ".DS_Store": "\0", "english/test/._a.txt": "\0"}
    for write in (zipped, in_folder):
        verdict = validate(write(tmp_path / write.__name__, GOOD[2019] | clutter))
        (problem,) = verdict.problems
        assert problem == (
            "3 hidden files, which the organizers' tools may refuse (.DS_Store, __MACOSX/._metadata.yaml, "
            "english/test/._a.txt); remove them, from a zip by zip -d NAME.zip '__MACOSX/*' '*.DS_Store'"
        )
        assert verdict.files == 2
    within = {f"my/{name}": text for name, text in GOOD[2019].items()} | {"__MACOSX/my/._metadata.yaml": "\0"}
    problems = validate(zipped(tmp_path / "s.zip", within)).problems
    assert problems[1:] == ["everything is in the folder my/; submit what is in it, not the folder"]
    code = {"code/.gitignore": "x", "code/x.py": "x"}
    assert validate(zipped(tmp_path / "s.zip", GOOD[2019] | code)).problems == []


def test_clutter_beside_the_wavs_is_not_asked_for(tmp_path):
    (tmp_path / "wavs").mkdir()
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / "wavs" / name, np.zeros(10), 16000)
        litter(tmp_path / "wavs", name)
    path = zipped(tmp_path / "s.zip", GOOD[2019])
    done = CliRunner().invoke(app, ["validate-submission", str(path), "--wavs", str(tmp_path / "wavs")])
    assert done.exit_code == 0, done.exception


# Hostile and damaged ones


def test_no_file_no_zip_and_nothing_in_it(tmp_path):
    (tmp_path / "s.zip").write_text("no")
    assert "is neither a folder nor a zip file" in validate(tmp_path / "s.zip").problems[0]
    assert "no such file or folder" in validate(tmp_path / "none.zip").problems[0]
    assert "holds no file" in validate(zipped(tmp_path / "s.zip", {})).problems[0]
    os.mkfifo(tmp_path / "fifo")
    assert "no such file or folder" in validate(tmp_path / "fifo").problems[0]


@pytest.mark.parametrize(
    "name",
    ["../up.txt", "/etc/x.txt", "english/../../x.txt", "english\\test\\a.txt", "C:/x.txt", "a//b.txt", "./a.txt"],
)
def test_names_that_lead_outside(tmp_path, name):
    problems = validate(zipped(tmp_path / "s.zip", GOOD[2019] | {name: "1 2\n"})).problems
    fault = "is no plain path" if name in {"a//b.txt", "./a.txt"} else "leads out of the archive"
    assert problems == [f"{name}: {fault}"]


def test_links_encryption_duplicates_and_other_packing(tmp_path):
    path = zipped(tmp_path / "s.zip", GOOD[2019])
    with zipfile.ZipFile(path, "a") as z:
        link = zipfile.ZipInfo("english/test/l.txt")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        z.writestr(link, "/etc/passwd")
        z.writestr("english/test/z.txt", A, zipfile.ZIP_LZMA)
        with pytest.warns(UserWarning, match="Duplicate"):
            z.writestr("english/test/a.txt", A)
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02", 0, data.rindex(b"english/test/b.txt"))
    data[entry + 8] |= 1
    path.write_bytes(data)
    assert sorted(validate(path).problems) == [
        "english/test/a.txt: is in the zip twice",
        "english/test/b.txt: is encrypted",
        "english/test/l.txt: is a link or no plain file",
        "english/test/z.txt: is packed in a way other than deflate",
    ]


def test_a_folder_that_cannot_be_read_is_not_taken_for_an_empty_one(tmp_path, monkeypatch):
    folder, scandir = in_folder(tmp_path / "s", GOOD[2019]), os.scandir

    def refusing(path):  # in place of a mode, which root may read
        if str(path).endswith("english"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    (problem,) = validate(folder).problems
    assert re.search(r"can be read .*Permission denied.*/s/english", problem)


def test_links_in_a_folder_are_not_followed(tmp_path):
    folder = in_folder(tmp_path / "s", GOOD[2019])
    (folder / "english/test/l.txt").symlink_to("/etc/passwd")
    (folder / "english/more").symlink_to(tmp_path)
    os.mkfifo(folder / "english/test/f.txt")
    problems = validate(folder).problems
    assert sorted(problems) == [
        f"english/{name}: is a link or no regular file" for name in ("more", "test/f.txt", "test/l.txt")
    ]


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    path = zipped(tmp_path / "s.zip", GOOD[2019] | {f"english/test/x{i}.txt": "1 2\n" * 1000 for i in range(50)})
    monkeypatch.setattr(contents, "MOST_BYTES", 100_000)
    monkeypatch.setattr(contents.Contents, "open", lambda *_: pytest.fail("opened"))
    assert "would unpack to 53 files of 200" in validate(path).problems[0]
    monkeypatch.setattr(contents, "MOST_BYTES", 1 << 30)
    monkeypatch.setattr(contents, "MOST_FILES", 52)
    assert "53 files of 200" in validate(path).problems[0]
    assert (
        "more than the 52 files"
        in validate(in_folder(tmp_path / "s", dict.fromkeys(map(str, range(53)), ""))).problems[0]
    )


@pytest.mark.parametrize("told", [200_000, 1])
def test_many_entries_are_refused_before_they_are_listed(tmp_path, told):
    """A zip that is only a list of 200,000 files, whatever number it tells: 9 MB."""
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, told & 0xFFFF, told & 0xFFFF, 200_000 * len(entry), 0, 0)
    (tmp_path / "s.zip").write_bytes(entry * 200_000 + end)
    tracemalloc.start()
    problems = validate(tmp_path / "s.zip").problems
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert problems == [
        f"{tmp_path / 's.zip'}: is neither a folder nor a zip file that can be read (a header of 9400000 bytes)"
    ]
    assert peak < 1 << 25


def test_an_entry_that_lies_of_its_size(tmp_path):
    """Says 8 bytes, unpacks to many megabytes: no more is read than is said, and the checksum tells."""
    path = zipped(tmp_path / "s.zip", GOOD[2019] | {"english/test/z.txt": "0 0\n" * 4_000_000})
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02", 0, data.rindex(b"english/test/z.txt"))
    data[entry + 24 : entry + 28] = struct.pack("<I", 8)
    path.write_bytes(data)
    assert any(p.startswith("english/test/z.txt: cannot be read (Bad CRC-32") for p in validate(path).problems)


def test_a_big_file_is_never_whole_in_memory(tmp_path):
    """200 MB of one file, within 50 MB more than the imports take."""
    path = tmp_path / "s.zip"
    block = ("0.125 0.25 0.5 " * 60 + "1\n").encode() * 100
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as z:
        for name, text in GOOD[2019].items():
            if name.endswith("yaml"):
                z.writestr(name, text)
        with z.open("english/test/a.txt", "w") as f:
            for _ in range(200_000_000 // len(block)):
                f.write(block)
    code = (
        "from pathlib import Path; from data.hostile import most_memory; from resdavenet_vq.zerospeech.validation import validate\n"
        "before = most_memory()\n"
        f"v = validate(Path({str(path)!r})); assert v.accepted, v.problems; assert v.width == 181, v\n"
        "after = most_memory(); assert after - before < 50_000_000, (before, after)"
    )
    tests = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": f"{tests.parent}:{tests}"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_any_damage_is_a_verdict_not_a_traceback(tmp_path):
    rng, path = random.Random(0), tmp_path / "s.zip"
    text = "\n".join(f"{i} {i * i}" for i in range(300))
    whole = zipped(path, GOOD[2020] | {"2019/english/test/c.txt": text}).read_bytes()
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(bytes(data[: rng.choice([len(data), rng.randrange(len(data))])]))
        verdict = validate(path)
        assert verdict.report("s.zip")


def test_names_and_values_are_shown_short_and_harmless(tmp_path):
    files = GOOD[2019] | {"\x1b[31mred.txt": "x", "metadata.yaml": yaml.safe_dump({"author": ["x" * 60] * 90})}
    report = validate(zipped(tmp_path / "s.zip", files)).report("s.zip")
    assert "\x1b" not in report
    assert max(map(len, report.splitlines())) < 300


def test_a_number_of_thousands_of_digits(tmp_path):
    huge = "1:" * 9000 + "1"  # YAML 1.1 counts in sixties
    files = GOOD[2019] | {"metadata.yaml": f"author: {huge}\n? {huge}\n: 1\n"}
    problems = validate(zipped(tmp_path / "s.zip", files)).problems
    assert "metadata.yaml: 'author': input should be a valid string, not a number of thousands of digits" in problems
    assert "metadata.yaml: '<unprintable int object>' is not known" in problems


# The command line


def test_the_command_says_accepted_or_rejected(tmp_path):
    path = str(zipped(tmp_path / "s.zip", GOOD[2020]))
    result = CliRunner().invoke(app, ["validate-submission", path])
    assert result.exit_code == 0
    assert result.stdout == f"{path}: accepted as ZeroSpeech 2020: 2 files, 5 frames of 2 values\n"
    result = CliRunner().invoke(app, ["validate-submission", path, "--edition", "2019"])
    assert isinstance(result.exception, InputError)
    assert "rejected as ZeroSpeech 2019 for 8 reasons" in str(result.exception)
    both = CliRunner().invoke(app, ["validate-submission", path, "--items", "x", "--wavs", "y"])
    assert "not both" in str(both.exception)
