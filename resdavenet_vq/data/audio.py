"""From audio files to mono float32 samples at 16 kHz: the only module that opens audio."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from resdavenet_vq import files
from resdavenet_vq.data import audio_header, file_kind
from resdavenet_vq.data.features import RESAMPLER, SAMPLE_RATE
from resdavenet_vq.data.layout import EditedFile, Layout
from resdavenet_vq.errors import InputError

WHOLE = 1 << 23  # longest recording, in samples, that is read at once: almost nine minutes

BLOCK = 1 << 18  # samples at 16 kHz in the blocks of longer ones, and values of all channels that are decoded at a time

MAX_SECONDS = 3600
"""Longest audio that is held in memory, as the utterances of a corpus and noises are: 230 MB at 16 kHz."""

MAX_RECORDING_SECONDS = 10 * MAX_SECONDS
"""Longest recording that is read in blocks. A megabyte of FLAC may hold days, which would take hours to decode."""

MAX_LEVEL = 2.0**32
"""Largest sample. Full scale is 1, or 2**31 where integers were written as floats; powers overflow above 2**55."""

SAMPLE_RATES = range(4_000, 384_001)  # a rate of 1 Hz would grow 16,000-fold
_UNKNOWN = 2**63 - 1  # libsndfile's length of a FLAC file that does not state it

_DOUBTFUL = frozenset(
    {"G721_32", "G723_24", "G723_40", "NMS_ADPCM_16", "NMS_ADPCM_24", "NMS_ADPCM_32"}
)  # libsndfile gives noise for G.721 and G.723 of ffmpeg, and nothing else reads NMS

_FULL_RATE, _FULL_CHANNELS = 48_000, 2  # at higher rates and with more channels, audio must be shorter


def read_wav(path: Path, *, allow_silent: bool = True) -> np.ndarray:
    """The audio of a file as float32 (samples,): channels averaged, resampled to 16 kHz (soxr HQ).

    Raises InputError naming the file: no regular file, unreadable, longer than an hour, shorter than its header
    promises, not finite, of an impossible level or sample rate, or, unless `allow_silent`, empty or constant.
    """
    plain = _read_plain(path)
    if plain is not None and plain[0] in SAMPLE_RATES:
        rate, samples = plain[0], _mono(plain[1])
    else:
        with open_audio(path, MAX_SECONDS) as audio:
            rate, samples = audio.samplerate, _read_all(audio)
    low, high = (samples.min(), samples.max()) if len(samples) else (0, 0)
    check_samples(path, len(samples), low, high, allow_silent=allow_silent)
    if rate != SAMPLE_RATE and len(samples):  # finite, as its level is bounded
        samples = soxr.resample(samples, rate, SAMPLE_RATE, quality=RESAMPLER)
    return samples


def length_of_wav(path: Path) -> int:
    """The number of 16 kHz samples that `read_wav` would give, by the header. Raises InputError naming the file."""
    with open_audio(path, MAX_SECONDS) as audio:
        return int(audio.frames * SAMPLE_RATE / audio.samplerate + 0.5)


def check_level(low: float, high: float) -> None:
    """Raises InputError with the fault alone for samples from `low` to `high` that are no audio."""
    if not np.isfinite([low, high]).all():
        raise InputError("contains NaN or infinite samples")
    if (level := max(-low, high)) > MAX_LEVEL:
        raise InputError(f"contains a sample of {level:.2g}, which is no level of audio (full scale is 1)")


@contextmanager
def open_audio(path: Path, seconds: float) -> Iterator[Audio]:
    """An audio file of at most this length, opened to read it block by block.

    One that does not state its length is decoded twice, first to count its samples.

    Raises InputError naming the file, even later: no regular file, unreadable, shorter than its header promises, or of
    an unlikely sample rate or length.
    """
    with files.open_regular(path) as file, files.reading(path):
        try:
            layout = audio_header.parse(path, file)
            with ExitStack() as stack:
                audio = stack.enter_context(Audio(path, file, layout))
                most = _most_samples(path, audio, seconds)
                if audio.format == "FLAC" and audio.frames == _UNKNOWN:
                    audio = stack.enter_context(_Unstated(path, file, layout, most))
                if not 0 <= audio.frames <= most:
                    what = "has at least" if isinstance(audio, _Unstated) else "declares"
                    what += f" {audio.frames} samples in {audio.channels} channels at {audio.samplerate} Hz"
                    raise InputError(f"{path}: {what}, more than the {most} that are read; cut it into pieces")
                yield audio
        except soundfile.LibsndfileError as e:
            file.seek(0)
            if not layout.formats and (fault := file_kind.fault(file.read(file_kind.HEAD), "audio", path)):
                raise InputError(f"{path}: {fault}") from None
            why = e.error_string.rstrip(".")
            raise InputError(f"{path}: cannot be read as audio ({why}); {file_kind.ffmpeg(path)}") from None


class Audio(soundfile.SoundFile):
    """An open audio file, read from its beginning to its end.

    soundfile would seek after each reading, which some formats cannot, and after which the next samples of an MP3 are
    wrong by up to a fifth of full scale.
    """

    def __init__(self, path: Path, file: BinaryIO, layout: Layout) -> None:
        self.layout, self._path, self._n_read = layout, path, 0
        self._edited = EditedFile(file, layout.edits) if layout.edits else None
        if self._edited:
            super().__init__(self._edited)
            return
        descriptor = file.fileno()
        os.lseek(descriptor, 0, os.SEEK_SET)  # libsndfile begins where the file is
        super().__init__(descriptor, closefd=False)

    def seekable(self) -> bool:
        """No, as far as soundfile knows."""
        return False

    def read_block(self, dtype: str) -> np.ndarray:
        """The next samples (n, channels), at most `block_length`; none at the end.

        Raises InputError where there are fewer than the header promises.
        """
        n = min(block_length(self), self.frames - self._n_read)
        block: np.ndarray = self.read(n, dtype=dtype, always_2d=True)
        if self._edited and self._edited.fault:
            raise self._edited.fault
        self._n_read += len(block)
        if len(block) < n:
            raise InputError(f"{self._path}: truncated, {self._n_read} of {self.frames} samples could be read")
        return block


class _Unstated(Audio):
    """A FLAC file without its length, as if written to a pipe: `frames` is counted, until it is more than `most`."""

    frames = 0

    def __init__(self, path: Path, file: BinaryIO, layout: Layout, most: int) -> None:
        super().__init__(path, file, layout)
        while self.frames <= most and (n := len(self.read(block_length(self), "int16", always_2d=True))):
            self.frames += n
        self.close()
        super().__init__(path, file, layout)


def _most_samples(path: Path, audio: Audio, seconds: float) -> int:
    """The longest that the file may be, in its own samples. Raises InputError by what its header says."""
    if audio.format not in audio.layout.formats:
        what = f"is in the format {audio.format}, of which damage cannot be told"
        raise InputError(f"{path}: {what}; {file_kind.ffmpeg(path)}")
    if audio.subtype in _DOUBTFUL:
        what = f"is {audio.format} with {audio.subtype}, which decoders do not agree about"
        raise InputError(f"{path}: {what}; convert it with the program that wrote it")
    if audio.samplerate not in SAMPLE_RATES:
        limits = f"{SAMPLE_RATES[0]} to {SAMPLE_RATES[-1]}"
        raise InputError(f"{path}: a sample rate of {audio.samplerate} Hz is not that of speech ({limits})")
    return int(seconds * min(audio.samplerate, _FULL_RATE, _FULL_RATE * _FULL_CHANNELS // audio.channels))


def block_length(audio: soundfile.SoundFile) -> int:
    """The number of samples that are decoded at a time: BLOCK values of all channels."""
    return max(1, BLOCK // int(audio.channels))


def _read_mono(audio: Audio) -> np.ndarray:
    """The next samples of a file as float32 (samples,) at its own rate: channels averaged."""
    dtype = "int16" if audio.subtype == "PCM_16" else "float32"  # libsndfile makes the same floats, three times slower
    return _mono(audio.read_block(dtype))


def _read_all(audio: Audio) -> np.ndarray:
    """All samples of a file as `_read_mono` gives them."""
    if audio.frames <= block_length(audio):
        return _read_mono(audio)
    samples, n = np.empty(audio.frames, np.float32), 0
    while len(block := _read_mono(audio)):
        samples[n : n + len(block)] = block
        n += len(block)
    return samples


def read_blocks(path: Path) -> Iterator[np.ndarray]:
    """The audio of a file of at most ten hours as float32 (samples,) at its own rate, block by block: channels averaged."""
    with open_audio(path, MAX_RECORDING_SECONDS) as audio:
        while len(block := _read_mono(audio)):
            yield block


def read_channels(path: Path, dtype: str) -> Iterator[np.ndarray]:
    """The samples (n, channels) of a file of at most an hour as they are, block by block."""
    with open_audio(path, MAX_SECONDS) as audio:
        while len(block := audio.read_block(dtype)):
            yield block


def _mono(channels: np.ndarray) -> np.ndarray:
    """The mean of channels (samples, channels), int16 or float32, as float32 (samples,)."""
    if channels.dtype == np.int16:
        channels = channels.astype(np.float32)
        channels *= 1 / 32768
    with np.errstate(over="ignore", invalid="ignore"):  # the result is checked
        mono: np.ndarray = channels[:, 0] if channels.shape[1] == 1 else channels.mean(axis=1)
    return mono


def check_samples(path: Path, n: int, low: float, high: float, *, allow_silent: bool) -> None:
    """Raises InputError for audio that no utterance may have: `n` samples from low to high."""
    try:
        check_level(*((low, high) if n else (0, 0)))
    except InputError as e:
        raise InputError(f"{path}: {e}") from None
    if not allow_silent and not n:
        raise InputError(f"{path}: no samples")
    if not allow_silent and low == high:
        raise InputError(f"{path}: silent, all samples are equal")


def _read_plain(path: Path) -> tuple[int, np.ndarray] | None:
    """The sample rate and the samples, int16 (samples, channels), of a short plain wav file; None for any other.

    Most speech corpora are such files, and libsndfile takes three times as long to give the same numbers. Whatever else
    a file is, and any fault, is left to `open_audio`.
    """
    try:
        with files.open_regular(path) as file:
            plain = audio_header.parse(path, file).plain
            size = os.fstat(file.fileno()).st_size
            if plain is None or size > 2 * WHOLE:
                return None
            file.seek(plain.start)
            samples = np.fromfile(file, "<i2")
    except (OSError, InputError):
        return None
    is_whole = 2 * len(samples) == size - plain.start
    return (plain.rate, samples.reshape(-1, plain.channels)) if is_whole else None
