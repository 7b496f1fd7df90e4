"""Which paths of wav and image files are accepted, and where they lead."""

import gc
import json
import pickle
import tracemalloc
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resdavenet_vq.corpus import places
from resdavenet_vq.corpus.paths import Base, FilePath, Media, normal, without_suffix
from resdavenet_vq.errors import InputError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of a corpus, beside another folder that is the working directory."""
    (tmp_path / "corpus").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "corpus"


def read(folder, wav, image=None, *, configured=(None, None), **bases):
    path = folder / "a.json"
    path.write_text(json.dumps({"data": [{"wav": wav, "image": image}], **bases}))
    return places.read(path, *configured)


def test_relative_paths_start_at_the_folder_of_the_json_not_at_the_working_directory(folder):
    (utterance,) = read(folder, "w/a.wav", "i/a.jpg").utterances
    assert (utterance.wav, utterance.image) == (folder / "w/a.wav", folder / "i/a.jpg")
    assert (utterance.id, utterance.image_id) == ("w/a", "i/a.jpg")
    for base in ("sounds", "sounds/", "./sounds", "sounds//"):
        (utterance,) = read(folder, "a.wav", audio_base_path=base).utterances
        assert utterance.wav == folder / "sounds/a.wav"


def test_a_json_that_is_named_relatively(folder, monkeypatch):
    read(folder, "a.wav")
    monkeypatch.chdir(folder)
    (utterance,) = places.read(Path("a.json")).utterances
    assert utterance.wav.absolute() == folder / "a.wav"
    (utterance,) = read(Path(), str(folder / "b.wav")).utterances
    assert (utterance.id, utterance.wav) == ("b", folder / "b.wav")


def test_absolute_paths_without_a_base_path_are_accepted_wherever_they_lead(folder, tmp_path):
    inside, outside = f"{folder}/w/a.wav", f"{tmp_path}/images/a.jpg"
    (utterance,) = read(folder, inside, outside).utterances
    assert (utterance.wav, utterance.image) == (Path(inside), Path(outside))
    assert utterance.id == "w/a", "as if it were relative"
    assert utterance.image_id == outside[1:], "an id never begins at the root"


def test_an_absolute_path_and_the_same_relatively_are_one_file(folder):
    path = folder / "a.json"
    rows = [{"wav": "a.wav", "image": "x/1.jpg"}, {"wav": "b.wav", "image": f"{folder}/x/1.jpg"}]
    path.write_text(json.dumps([*rows, {"wav": f"{folder}/a.wav"}]))
    manifest = places.read(path)
    assert [u.image_id for u in manifest.utterances] == ["x/1.jpg", "x/1.jpg"]
    assert [r.reason for r in manifest.refused] == ["[2]: id: [0] has the same, 'a'; give each its own"]


@pytest.mark.parametrize("named", ["json", "configuration"])
def test_absolute_paths_must_be_below_a_base_path_that_is_named(folder, tmp_path, named):
    base = tmp_path / "sounds"
    options = {"audio_base_path": str(base)} if named == "json" else {"configured": (base, None)}
    (utterance,) = read(folder, f"{base}/a.wav", **options).utterances
    assert (utterance.id, utterance.wav) == ("a", base / "a.wav")
    (refusal,) = read(folder, f"{base}x/a.wav", **options).refused
    assert refusal.reason == (
        f"data[0]: wav: '{base}x/a.wav' is absolute and not below audio_base_path, which is {base}; correct one of them"
    )


@pytest.mark.parametrize("text", ["./a//b.jpg", "a/./b.jpg", "a/b.jpg/", "a/b.jpg"])
def test_spellings_of_a_path_are_one_image(folder, text):
    (utterance,) = read(folder, "a.wav", text).utterances
    assert (utterance.image_id, utterance.image) == ("a/b.jpg", folder / "a/b.jpg")


def test_links_are_followed(folder, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/a.wav").write_bytes(b"sound")
    (folder / "linked").symlink_to(tmp_path / "other")
    (utterance,) = read(folder, "linked/a.wav").utterances
    assert utterance.wav.read_bytes() == b"sound"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("wavs\\a.wav", "is a Windows path with a backslash; write the path on this system, with /"),
        ("C:\\wavs\\a.wav", "is a Windows path with a backslash;"),
        ("C:/wavs/a.wav", "is a Windows path with a drive;"),
        ("file:///data/my%20wavs/a.wav", "is a URL; write the path, '/data/my wavs/a.wav'"),
        ("https://example.org/a.wav", "is a URL; download the file and write its path"),
        ("s3://bucket/a.wav", "is a URL; download"),
        ("~/a.wav", "begins with '~', which only a shell replaces; write the whole path"),
        ("~me/a.wav", "begins with '~'"),
        ("../a.wav", "leads upwards with '..'"),
        ("/data/../a.wav", "leads upwards with '..'"),
    ],
)
def test_other_paths_are_named(folder, text, fault):
    for wav, image, key in ((text, None, "wav"), ("a.wav", text, "image")):
        (refusal,) = read(folder, wav, image).refused
        assert f"data[0]: {key}: {text!r} {fault}" in refusal.reason


@pytest.mark.parametrize("text", ["~a.wav", "a~/b.wav", "a:b.wav", "wavs/http:/x.wav"])
def test_odd_names_of_files_are_accepted(folder, text):
    (utterance,) = read(folder, text).utterances
    assert utterance.wav == folder / text


@pytest.mark.parametrize("base", ["~/wavs", "C:\\wavs", "file:///wavs", "https://example.org/wavs"])
def test_base_paths_of_other_systems_are_named(folder, base):
    with pytest.raises(InputError, match=rf"^{folder}/a.json: audio_base_path: .*(whole path|with /|write)"):
        read(folder, "a.wav", audio_base_path=base)
    with pytest.raises(InputError, match=r"^the configuration: audio_base_path: "):
        read(folder, "a.wav", configured=(Path(base), None))


pieces = st.sampled_from(["a", "..", ".", "/", "//", "~", "b.wav", "\\", "C:", "base"])


@given(st.lists(pieces, min_size=1, max_size=6).map("".join), st.booleans())
def test_no_accepted_path_leaves_its_base(text, is_named):
    base = Base(Path("/base"), "audio_base_path" if is_named else None)
    try:
        media = base.locate(text)
    except ValueError:
        return
    assert isinstance(media, Media)
    assert not media.name.startswith("/")
    assert ".." not in Path(media.name).parts
    if is_named or not text.startswith("/"):
        assert media.file.is_relative_to("/base")
        assert media.file == Path("/base", media.name)


@given(st.text("./ab", max_size=8))
def test_texts_of_paths_are_made_as_pathlib_makes_them(text):
    assert (normal(text) or ".") == str(PurePosixPath(text))
    if PurePosixPath(text).name:
        assert without_suffix(normal(text)) == str(PurePosixPath(text).with_suffix(""))


def test_the_path_of_a_file_is_a_path():
    path = FilePath("a/b.wav")
    assert path == Path("a/b.wav")
    assert hash(path) == hash(Path("a/b.wav"))
    assert pickle.loads(pickle.dumps(path)) == path
    assert (path.name, path.suffix, path.parent, path.with_suffix(".x")) == ("b.wav", ".wav", Path("a"), Path("a/b.x"))
    assert (Path("c") / path, path / "d", path.absolute()) == (Path("c/a/b.wav"), Path("a/b.wav/d"), Path.cwd() / path)


def test_rows_that_were_read_leave_nothing_in_memory(tmp_path):
    """Python 3.12 keeps the parts of a Path that it takes apart for ever."""

    def read_all(name, n):
        rows = [{"wav": f"w/{name}-{i}.wav", "image": f"i/{name}-{i}.jpg"} for i in range(n)]
        (tmp_path / "a.json").write_text(json.dumps({"data": rows}))
        del rows
        for utterance in places.read(tmp_path / "a.json").utterances:
            pickle.dumps((utterance.wav, utterance.image))
            json.dumps(utterance.to_dict())

    read_all("few", 10)
    gc.collect()
    tracemalloc.start()
    read_all("many", 5000)
    gc.collect()
    left, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert left < 100_000
