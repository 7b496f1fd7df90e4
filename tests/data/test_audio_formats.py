"""Every format of audio is read whole, as other decoders read it, or refused by name; docs/audio_formats.md lists them.

Other decoders are sox and ffmpeg, of Debian; tests that need them are skipped where they are not installed.
"""

import contextlib
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from resdavenet_vq.data import audio
from resdavenet_vq.data.audio import length_of_wav, open_audio, read_channels, read_wav
from resdavenet_vq.data.recording import Recording
from resdavenet_vq.errors import InputError

PAGE = Path(__file__).parents[2] / "docs/audio_formats.md"
N = 8001  # samples, odd

programs = pytest.mark.skipif(
    not (shutil.which("sox") and shutil.which("ffmpeg")),
    reason="sox and ffmpeg are not installed: formats are not compared with other decoders",
)


def sound(channels, n=N):
    rng = np.random.default_rng(0)
    noise = rng.normal(size=n).cumsum()
    noise -= np.convolve(noise, np.ones(50) / 50, "same")
    both = np.stack([0.5 * np.sin(np.arange(n) * 0.05), 0.05 * noise.clip(-8, 8)], axis=1)
    return both[:, :channels]


class Case(NamedTuple):
    """A way to write a file, and what tells whether it is read rightly."""

    container: str
    subtype: str
    suffix: str
    maker: str
    """`libsndfile`, or the arguments of ffmpeg or sox between an input `in.wav` and the output."""
    truth: str = "ffmpeg"
    """`ffmpeg`, `sox`, or `original`: the samples that were written."""
    bound: float = 0.0
    """Largest difference, full scale being 1."""
    n: int | None = N
    """Samples that are read; None where a header does not say how many of the last block are audio."""
    channels: int = 2
    rate: int = 16000


def of_libsndfile(container, suffix, subtypes, **others):
    return [Case(container, subtype, suffix, "libsndfile", **others) for subtype in subtypes.split()]


PCM = "PCM_16 PCM_24 PCM_32 FLOAT DOUBLE ULAW ALAW"
BLOCKS = "IMA_ADPCM MS_ADPCM"
CASES = [
    *of_libsndfile("WAV", "wav", f"PCM_U8 {PCM}"),
    *of_libsndfile("WAV", "wav", BLOCKS, truth="sox", n=None),
    *of_libsndfile("WAV", "wav", "GSM610", n=None, channels=1, rate=8000),
    *of_libsndfile("WAVEX", "wav", f"PCM_U8 {PCM}"),
    *of_libsndfile("RF64", "wav", f"PCM_U8 {PCM}"),
    *of_libsndfile("W64", "w64", f"PCM_U8 {PCM}"),
    *of_libsndfile("W64", "w64", BLOCKS, truth="sox", n=None),
    *of_libsndfile("W64", "w64", "GSM610", n=None, channels=1, rate=8000),
    *of_libsndfile("AIFF", "aiff", f"PCM_S8 PCM_U8 {PCM}"),
    *of_libsndfile("AIFF", "aiff", "IMA_ADPCM", bound=0.01, n=None),
    *of_libsndfile("AIFF", "aiff", "GSM610", channels=1, rate=8000),
    *of_libsndfile("AIFF", "aiff", "DWVW_16 DWVW_24", truth="original", bound=4e-5, channels=1),
    *of_libsndfile("CAF", "caf", f"PCM_S8 {PCM} ALAC_16 ALAC_20 ALAC_24 ALAC_32"),
    *of_libsndfile("AU", "au", f"PCM_S8 {PCM}"),
    *of_libsndfile("NIST", "sph", "PCM_S8 PCM_16 PCM_24 PCM_32 ULAW ALAW"),
    *of_libsndfile("FLAC", "flac", "PCM_S8 PCM_16 PCM_24"),
    *of_libsndfile("OGG", "ogg", "VORBIS", bound=2e-6),
    *of_libsndfile("OGG", "opus", "OPUS", bound=1e-3, rate=48000),
    *of_libsndfile("MP3", "mp3", "MPEG_LAYER_III", bound=1e-5),
    Case("AIFF", "PCM_16", "aiff", "ffmpeg -c:a pcm_s16le"),
    Case("W64", "PCM_16", "w64", "ffmpeg", n=None),
    Case("CAF", "PCM_16", "caf", "ffmpeg"),
    Case("RF64", "PCM_16", "wav", "ffmpeg -rf64 always"),
    Case("WAV", "IMA_ADPCM", "wav", "ffmpeg -c:a adpcm_ima_wav", truth="sox", n=None),
    Case("WAV", "MS_ADPCM", "wav", "ffmpeg -c:a adpcm_ms", truth="sox", n=None),
    Case("WAV", "GSM610", "wav", "sox -e gsm-full-rate", n=None, channels=1, rate=8000),
    Case("NIST", "ULAW", "sph", "sox -e mu-law"),
    Case("NIST", "PCM_16", "wav", "sox -t sph"),
    Case("AU", "ULAW", "au", "sox -e mu-law"),
    Case("OGG", "VORBIS", "ogg", "ffmpeg -c:a libvorbis", bound=2e-6),
    Case("OGG", "OPUS", "opus", "ffmpeg -c:a libopus", bound=1e-3, rate=48000),
    Case("FLAC", "PCM_16", "flac", "ffmpeg"),
    *(
        Case(
            "MP3",
            "MPEG_LAYER_III",
            "mp3",
            f"ffmpeg {options}",
            bound=0.02 if rate == 24000 else 1e-5,
            n=None,
            rate=rate,
        )
        for rate in (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
        for options in (
            "-b:a 64k",
            "-b:a 64k -write_xing 0 -id3v2_version 3 -metadata title=a",
            "-q:a 5 -write_id3v1 1 -write_apetag 1 -metadata title=a",
            "-q:a 5 -write_xing 0",
        )
    ),
]


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout


def make(case, folder):
    """The file, and the samples that were written."""
    samples, path = sound(case.channels), folder / f"a.{case.suffix}"
    if case.maker == "libsndfile":
        soundfile.write(path, samples, case.rate, format=case.container, subtype=case.subtype)
        return path, samples
    source = folder / "in.wav"
    soundfile.write(source, samples, case.rate)
    program, *options = case.maker.split()
    command = ["ffmpeg", "-v", "error", "-i", source] if program == "ffmpeg" else ["sox", source]
    run(*command, *options, path)
    return path, samples


def decoded(program, path, channels):
    """The samples as another decoder gives them."""
    if program == "ffmpeg":
        data = run("ffmpeg", "-v", "error", "-i", path, "-f", "f32le", "-")
    else:
        data = run("sox", path, "-t", "f32", "-")
    return np.frombuffer(data, "<f4").reshape(-1, channels)


def everything(path):
    """All samples (n, channels) of a file, at its own rate."""
    with open_audio(path, 3600) as file:
        shape = (0, file.channels)
    return np.concatenate([np.zeros(shape, np.float32), *read_channels(path, "float32")])


def everything_or_refusal(path):
    try:
        return everything(path)
    except InputError as e:
        return str(e)


def name_of(case):
    return f"{case.container}-{case.subtype}-{case.rate}-{case.maker}".replace(" ", "_")


@pytest.mark.parametrize("case", [case for case in CASES if case.maker == "libsndfile"], ids=name_of)
def test_every_format_is_the_same_at_once_and_in_blocks(tmp_path, case, monkeypatch):
    path, _ = make(case, tmp_path)
    samples = everything(path)
    monkeypatch.setattr(audio, "BLOCK", 2500)
    np.testing.assert_array_equal(everything(path), samples)
    check_that_all_ways_agree(path, samples, case.rate)


@programs
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_formats_are_read_as_other_decoders_read_them(tmp_path, case):
    path, original = make(case, tmp_path)
    samples = everything(path)
    assert len(samples) >= N
    other = original if case.truth == "original" else decoded(case.truth, path, case.channels)
    if case.n is None and case.truth != "original":
        assert len(samples) == len(other)
    else:
        assert case.n is None or len(samples) == case.n
        assert len(other) >= N
    n = min(len(samples), len(other))
    assert abs(samples[:n] - other[:n]).max() <= case.bound
    with open_audio(path, 3600) as file:
        assert (file.format, file.subtype) == (case.container, case.subtype)
    check_that_all_ways_agree(path, samples, case.rate)


def check_that_all_ways_agree(path, samples, rate):
    """In blocks and at once, and by the header."""
    whole = read_wav(path)
    assert length_of_wav(path) == len(whole) == int(len(samples) * 16000 / rate + 0.5)
    recording = Recording(path, allow_silent=True, whole=0)
    assert recording.n_samples == len(whole)
    np.testing.assert_array_equal(np.concatenate([*recording._samples()]), whole)


def table():
    """The rows of the page, a line for each container, subtype and truth."""
    rows = {}
    for case in CASES:
        maker = case.maker.split()[0]
        key = (case.container, case.subtype, case.truth)
        makers, bound = rows.get(key, ((), 0.0))
        rows[key] = (*(m for m in makers if m != maker), maker), max(bound, case.bound)
    lines = [
        "| container | subtype | made by | compared with | largest difference |",
        "| --- | --- | --- | --- | --- |",
    ]
    for (container, subtype, truth), (makers, bound) in rows.items():
        other = "what was written" if truth == "original" else truth
        lines.append(
            f"| {container} | {subtype} | {', '.join(makers)} | {other} | {f'{bound:g}' if bound else 'none'} |"
        )
    return "\n".join(lines)


def test_the_page_lists_the_formats():
    assert table() in PAGE.read_text(encoding="utf-8")


CUT = [
    case
    for case in CASES
    if case.maker == "libsndfile"
    and case.container != "WAVEX"
    and case.subtype not in ("PCM_32", "DOUBLE", "ALAW", "ALAC_20")
]


@pytest.mark.parametrize("case", CUT, ids=name_of)
def test_a_damaged_file_is_read_or_refused(tmp_path, case):
    path, _ = make(case, tmp_path)
    data = path.read_bytes()
    place = st.one_of(st.integers(0, len(data) - 1), st.integers(0, min(200, len(data) - 1)))

    @given(st.lists(st.tuples(place, st.integers(0, 255)), min_size=1, max_size=5))
    @settings(max_examples=25)
    def check(changes):
        damaged = bytearray(data)
        for i, byte in changes:
            damaged[i] = byte
        path.write_bytes(damaged)
        try:
            length = len(read_wav(path))
        except InputError as e:
            refused = str(e)
        else:
            # libsndfile decides about some damaged SPHERE headers by memory that it has not set: it may refuse the next time
            with contextlib.suppress(InputError) if case.container == "NIST" else contextlib.nullcontext():
                assert length_of_wav(path) == length
            return
        assert refused.startswith(f"{path}: ")

    check()


@pytest.mark.parametrize("case", CUT, ids=name_of)
def test_a_cut_file_is_refused_or_read_whole(tmp_path, case):
    path, _ = make(case, tmp_path)
    whole, data = everything(path), path.read_bytes()

    @given(
        st.one_of(
            st.integers(0, len(data) - 1), st.integers(max(0, len(data) - 300), len(data) - 1), st.integers(0, 300)
        )
    )
    @settings(max_examples=40)
    def check(cut):
        path.write_bytes(data[:cut])
        samples = everything_or_refusal(path)
        if isinstance(samples, str):
            assert samples.startswith(f"{path}: ")
        else:
            np.testing.assert_array_equal(samples, whole)

    check()


@pytest.mark.parametrize(
    ("container", "subtype"),
    [("WAV", "G721_32"), ("AU", "G723_24"), ("AU", "G723_40"), ("WAV", "NMS_ADPCM_16"), ("WAV", "NMS_ADPCM_32")],
)
def test_subtypes_that_decoders_disagree_about_are_refused_by_name(tmp_path, container, subtype):
    soundfile.write(tmp_path / "a.x", sound(1), 8000, format=container, subtype=subtype)
    with pytest.raises(
        InputError, match=rf"a\.x: is {container} with {subtype}, which decoders do not agree about; conv"
    ):
        read_wav(tmp_path / "a.x")


@pytest.mark.parametrize(
    "format_", sorted(set(soundfile.available_formats()) - {case.container for case in CASES} - {"RAW"})
)
def test_other_formats_are_refused_by_name(tmp_path, format_):
    path = tmp_path / "a.wav"
    soundfile.write(path, sound(1), 16000 if format_ != "WVE" else 8000, format=format_)
    if format_ == "SD2":  # its header is in another file
        (tmp_path / "._a.wav").rename(tmp_path / "._a.sd2")
    for read in (read_wav, Recording, length_of_wav):
        with pytest.raises(
            InputError,
            match=rf"a\.wav: (is in the format {format_}|cannot be read as audio|is ).*; convert it: ffmpeg -i a\.wav a-new\.wav",
        ) as e:
            read(path)
        assert format_ == "SD2" or format_ in str(e.value)
