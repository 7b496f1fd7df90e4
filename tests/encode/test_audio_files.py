"""Which files below a folder are recordings, what they are called, and what is said of others."""

import numpy as np
import pytest
import soundfile
from clutter import litter

from resdavenet_vq.data.audio import read_wav
from resdavenet_vq.encode.audio_files import audio_files
from resdavenet_vq.errors import InputError


def write(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith((".wav", ".flac")):
            soundfile.write(folder / name, np.sin(np.arange(4000)), 16000)
        else:
            (folder / name).write_bytes(b"\0\0\0\x18ftypM4A ")


def test_what_systems_keep_beside_recordings_is_none(tmp_path):
    write(tmp_path, "a.wav", "sub/b.flac", "notes.txt")
    litter(tmp_path, "a.wav")
    litter(tmp_path / "sub", "b.flac")
    audio = audio_files(tmp_path)
    assert audio.files == {"a": tmp_path / "a.wav", "sub/b": tmp_path / "sub/b.flac"}
    assert (audio.refused, audio.passed_over) == ([], "")


def test_a_folder_of_clutter_alone_holds_no_audio(tmp_path):
    litter(tmp_path, "a.wav")
    with pytest.raises(InputError, match=r"holds no audio file \(\.aif"):
        audio_files(tmp_path)


def test_audio_in_formats_that_are_not_read_is_counted_and_the_remedy_named(tmp_path):
    write(tmp_path, "b 1.m4a", "c.M4A", "sub/d.wma", "e.txt")
    said = f"{tmp_path}: audio in formats that are not read is passed over (2 .m4a, 1 .wma); convert it: "
    said += f"ffmpeg -i '{tmp_path}/b 1.m4a' '{tmp_path}/b 1.flac'"
    with pytest.raises(InputError) as caught:
        audio_files(tmp_path)
    assert str(caught.value) == said
    write(tmp_path, "a.wav")
    audio = audio_files(tmp_path)
    assert ([*audio.files], audio.passed_over) == (["a"], said)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        *[
            ("a.wav", "WAV"),
            ("a.bwf", "WAV"),
            ("a.rf64", "RF64"),
            ("a.w64", "W64"),
            ("a.flac", "FLAC"),
            ("a.ogg", "OGG"),
        ],
        *[
            ("a.oga", "OGG"),
            ("a.opus", "OGG"),
            ("a.mp3", "MP3"),
            ("a.caf", "CAF"),
            ("a.AIFF", "AIFF"),
            ("a.aif", "AIFF"),
        ],
        *[
            ("a.aifc", "AIFF"),
            ("a.au", "AU"),
            ("a.snd", "AU"),
            ("a.SPH", "NIST"),
            ("a.nist", "NIST"),
            ("a.wv1", "NIST"),
        ],
        ("a.wv2", "NIST"),
    ],
)
def test_every_suffix_of_a_format_that_is_read(tmp_path, name, form):
    soundfile.write(tmp_path / name, np.sin(np.arange(4000)), 16000, format=form)
    assert audio_files(tmp_path).files == {"a": tmp_path / name}
    assert len(read_wav(tmp_path / name)) == 4000


def test_the_first_of_two_files_has_an_id_that_both_would_have(tmp_path):
    write(tmp_path, "a/x.flac", "a/x.wav", "b/x.wav", "b/y.wav")
    by_path, by_name = audio_files(tmp_path), audio_files(tmp_path, "name")
    assert {**by_path.files} == {
        "a/x": tmp_path / "a/x.flac",
        "b/x": tmp_path / "b/x.wav",
        "b/y": tmp_path / "b/y.wav",
    }
    assert by_path.refused == [(tmp_path / "a/x.wav", f"has the id of {tmp_path}/a/x.flac (a/x); rename or remove one")]
    assert {**by_name.files} == {"x": tmp_path / "a/x.flac", "y": tmp_path / "b/y.wav"}
    assert [path.relative_to(tmp_path).as_posix() for path, _ in by_name.refused] == ["a/x.wav", "b/x.wav"]
    with pytest.raises(InputError, match=r"2 files .*\n\S+/a/x\.wav: has the id .*\n\S+/b/x\.wav: has the id "):
        by_name.check()


def test_a_linked_folder_is_entered_and_a_file_is_no_folder(tmp_path):
    write(tmp_path / "elsewhere", "a.wav")
    (tmp_path / "wavs").mkdir()
    (tmp_path / "wavs/train").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "wavs/train/again").symlink_to(tmp_path / "elsewhere")
    assert [*audio_files(tmp_path / "wavs").files] == ["train/a"]
    with pytest.raises(InputError, match=r"/a\.wav: is no folder$"):
        audio_files(tmp_path / "elsewhere/a.wav")
