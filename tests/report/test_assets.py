"""Sounds and images of the report: copied in once, and what is no file of sound or image is refused at once."""

import os
import socket
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from oracles.data import encoded, noise
from PIL import ExifTags, Image

from resdavenet_vq.data import images
from resdavenet_vq.errors import InputError
from resdavenet_vq.report import assets
from resdavenet_vq.report.assets import Folder


def make_socket(path):
    """Names of sockets are short."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, socket.socket(socket.AF_UNIX) as end:
        end.bind(f"{folder}/s")
        Path(f"{folder}/s").rename(path)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3"])
@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, make_socket, lambda path: path.symlink_to("/dev/zero")])
def test_sounds_and_images_that_are_no_regular_files(tmp_path, make, suffix):
    path = tmp_path / f"a{suffix}"
    make(path)
    folder = Folder(tmp_path / "report")
    for copy in (folder.sound, lambda path: folder.copy(path, "a"), lambda path: folder.copy_once(path, "images/a")):
        with pytest.raises(InputError, match=rf"a\{suffix}: is no regular file$"):
            copy(path)


def test_wav_and_flac_files_go_in_as_flac(tmp_path):
    folder, sound = Folder(tmp_path / "report"), np.random.default_rng(0).integers(-9999, 9999, (5000, 2), np.int16)
    for suffix in (".wav", ".flac"):
        soundfile.write(tmp_path / f"a{suffix}", sound, 16000)
        read, rate = soundfile.read(folder.root / folder.sound(tmp_path / f"a{suffix}"), dtype="int16")
        assert rate == 16000
        np.testing.assert_array_equal(read, sound)


@pytest.mark.parametrize(("seconds", "suffix", "ending"), [(2, ".wav", ".wav"), (2, ".flac", ".wav"), (2, ".mp3", ".mp3"), (3, ".wav", ".flac"), (3, ".flac", ".flac")])  # fmt: skip
def test_a_sound_that_is_asked_for_as_wav_is_wav_where_it_is_short_and_without_loss(
    tmp_path, monkeypatch, seconds, suffix, ending
):
    monkeypatch.setattr(assets, "LONGEST_WAV", 2.0)
    folder, source = Folder(tmp_path / "report"), tmp_path / f"a{suffix}"
    soundfile.write(source, np.random.default_rng(0).integers(-9999, 9999, 16000 * seconds, np.int16), 16000)
    name = folder.sound(source, wav=True)
    assert name == f"sounds/0001{ending}"
    assert folder.sound(source) == name, "it is copied once"
    original, copy = (soundfile.read(file, dtype="int16")[0] for file in (source, folder.root / name))
    np.testing.assert_array_equal(original, copy)


def test_a_jpeg_with_several_pictures_is_shown_as_jpeg(tmp_path):
    picture = encoded(noise(40, 30), "MPO", save_all=True, append_images=[noise(20, 10)])
    shown = Folder(tmp_path).image("a", picture)
    assert shown == ("images/0001.jpg", 40, 30, "")
    assert Image.open(tmp_path / shown.file, formats=["JPEG"]).size == (40, 30)


def test_an_image_that_a_browser_would_turn_is_shown_as_the_network_sees_it(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    picture = encoded(noise(40, 30), exif=exif)
    shown = Folder(tmp_path).image("a", picture)
    assert shown == ("images/0001.png", 40, 30, "")
    with Image.open(tmp_path / shown.file) as image:
        assert image.tobytes() == images.decode(picture).tobytes()
    with pytest.raises(InputError, match=r"^image b: cannot be decoded \(.*truncated.*\); prepare the split again$"):
        Folder(tmp_path).image("b", encoded(noise(90, 90), "PNG")[:1000])
