"""Which files below a folder are audio."""

import pytest

from resdavenet_vq.encode.audio_files import audio_files
from resdavenet_vq.errors import InputError

APPLE_DOUBLE = b"\0\5\x16\7\0\2\0\0Mac OS X        "


def test_files_that_macos_leaves_are_no_audio(tmp_path):
    (tmp_path / "a.wav").touch()
    (tmp_path / "._a.wav").write_bytes(APPLE_DOUBLE)
    (tmp_path / "._b.wav").write_bytes(b"RIFF")  # its name alone says nothing
    (tmp_path / "c.wav").write_bytes(APPLE_DOUBLE)
    assert [*audio_files(tmp_path)] == ["._b", "a", "c"]


def test_a_folder_of_files_that_macos_leaves_has_no_audio(tmp_path):
    (tmp_path / "._a.wav").write_bytes(APPLE_DOUBLE)
    with pytest.raises(InputError, match=r"holds no audio file \(\.aif, \.aifc, "):
        audio_files(tmp_path)


@pytest.mark.parametrize("suffix", [".m4a", ".AAC", ".wma", ".amr", ".caf", ".w64", ".aifc", ".oga", ".snd"])
def test_no_audio_is_passed_over_in_silence(tmp_path, suffix):
    (tmp_path / f"a{suffix}").touch()
    (tmp_path / "notes.txt").touch()
    assert [*audio_files(tmp_path)] == ["a"]
