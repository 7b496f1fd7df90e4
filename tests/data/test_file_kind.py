"""Files that are no audio or image are told by their first bytes."""

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from resdavenet_vq.data.file_kind import HEAD, fault, file_kind


def picture(format_):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, format_)
    return buffer.getvalue()


def archive(kind):
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as file:
            file.writestr("a.wav", b"x")
    else:
        with tarfile.open(fileobj=buffer, mode="w") as file:
            file.addfile(tarfile.TarInfo("a.wav"))
    return buffer.getvalue()


def mp4(brand):
    return b"\0\0\0\x20ftyp" + brand + bytes(8)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b"<!DOCTYPE html>\n<html><head>",
            "not audio but a web page (HTML), as a download leaves that failed; download it again",
        ),
        (b"\xef\xbb\xbf\r\n<HTML>", "not audio but a web page"),
        (b"<?xml version='1.0'?><!-- a --><html xmlns='x'>", "not audio but a web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "not audio but an XML file"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
            "not audio but a pointer of Git LFS instead of the file; fetch the file with git lfs pull",
        ),
        (
            mp4(b"M4A "),
            "is an MPEG-4 or QuickTime file (m4a, mp4, mov, 3gp), which is not read; convert it: ffmpeg -i a.x a.wav",
        ),
        (b"\0\0\1\0moov" + bytes(8), "is an MPEG-4"),
        (mp4(b"heic"), "not audio but a HEIF"),
        (b"\xff\xf1\x50\x80\x02\x1f\xfc", "is AAC audio (aac), which is not read; convert it: ffmpeg"),
        (b"\x1a\x45\xdf\xa3\x9f", "is a Matroska"),
        (b"RIFF\0\0\0\0AVI LIST", "is a video"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9", "is a Windows Media file"),
        (b"#!AMR\n\x3c", "is AMR speech"),
        (b"#!AMR-WB\n", "is AMR speech"),
        (b"ajkg\2", "is Shorten audio"),
        (b"Dear diary, today\nit rained \xc3\xa9", "not audio but a text file"),
        ("é".encode("latin-1").join([b"a text"] * 2), "not audio but a text file"),
        ("text".encode("utf-16"), "not audio but a text file"),
        (json.dumps({"data": ["é"]}, ensure_ascii=False).encode()[:-4], "not audio but a JSON file"),
        (archive("zip"), "not audio but a ZIP archive, or a file of an office program; unpack it"),
        (archive("tar"), "not audio but a tar archive"),
        (gzip.compress(b"x", mtime=0), "not audio but compressed with gzip; unpack it"),
        (b"%PDF-1.7\n", "not audio but a PDF"),
        (picture("PNG"), "not audio but a PNG image"),
        (picture("JPEG"), "not audio but a JPEG image"),
        (picture("GIF"), "not audio but a GIF image"),
        (picture("WEBP"), "not audio but a WebP image"),
        (picture("BMP"), "not audio but a BMP image"),
        (b"BMW and others", "not audio but a text file"),
        (picture("TIFF"), "not audio but a TIFF image"),
        (
            b"\0\5\x16\7\0\2\0\0Mac OS X        ",
            "not audio but an AppleDouble file, which macOS leaves beside the real one; remove it",
        ),
        (bytes(4096), "not audio but only zeros where a header should be"),
        (b"MThd\0\0\0\6", "not audio but a MIDI file"),
    ],
)
def test_kinds_of_files_that_are_no_audio(content, words):
    assert words in fault(content[:HEAD], "audio", Path("a.x"))


def test_a_kind_is_told_by_what_was_expected():
    assert (
        fault(picture("WEBP"), "image", Path("a.jpg"))
        == "is a WebP image, which is not read; convert it to PNG or JPEG"
    )
    assert fault(mp4(b"avif"), "image", Path("a.jpg")).startswith("is a HEIF or AVIF image, which is not read; ")
    assert fault(mp4(b"isom"), "image", Path("a.jpg")).startswith("is not an image but an MPEG-4 or QuickTime file")
    assert fault(b"<html>", "image", Path("a.jpg")).startswith("is not an image but a web page (HTML)")


def test_the_remedy_names_another_file_than_the_one_to_be_converted():
    assert fault(mp4(b"M4A "), "audio", Path("a/b.wav")).endswith("ffmpeg -i b.wav b-new.wav")


@pytest.mark.parametrize("content", [b"", b"\x80\x81\x82\x83", b"\n", bytes(range(1, 32)) * 8])
def test_of_other_bytes_nothing_is_said(content):
    assert file_kind(content) is None


@given(st.binary(max_size=1024))
def test_any_bytes_have_a_kind_or_none(head):
    words = fault(head, "audio", Path("a"))
    assert words is None or words.startswith("is ")
