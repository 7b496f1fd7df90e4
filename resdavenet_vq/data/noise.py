"""Noisy copies of a split: noise is added to the waveform, and the features are made of the sum.

Conventions. The signal-to-noise ratio is 10 log10(E_speech / E_noise) dB with the energies of whole utterances, pauses
included and before any cut, each about its own mean, which the features subtract too. Waveforms are floats at 16 kHz
and nothing is clipped. The noise of an utterance follows from the seed, its id and the kind alone, and the ratio only
scales it: neither other utterances' order nor workers change it. Kinds are

* *white*: Gaussian, with the same power at all frequencies;
* *babble*: voices of other speakers of the split, one utterance each, equally loud, never the utterance's own speaker;
* any other: one recording of a list.

A voice or recording begins at a random place and is continued from its start.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import override

import numpy as np

from resdavenet_vq import files, folders
from resdavenet_vq.config import AddedNoise, Preparation
from resdavenet_vq.corpus.manifest import Manifest, Utterance
from resdavenet_vq.data import preparation
from resdavenet_vq.data.audio import check_level, length_of_wav, read_wav
from resdavenet_vq.data.audio_names import SUFFIXES, UNREAD_SUFFIXES
from resdavenet_vq.data.sources import Media
from resdavenet_vq.errors import InputError, listed

KEPT_BYTES = 1 << 28
"""Of recordings of noise that a worker keeps in memory besides the one in use: a little more than an hour."""


def prepare(
    manifest: Manifest, settings: Preparation, added: AddedNoise, out: Path, report: Path, workers: int
) -> None:
    """Writes the store and the report of a split with noise, see `preparation.prepare`; the store holds all data.

    Raises InputError also where babble lacks speakers, and where there are no recordings.
    """
    noise = added.model_dump_json(exclude_none=True)
    command = f"prepare-noisy --settings '{preparation.command_settings(settings)}' --noise '{noise}'"
    source = Noisy(settings, added, manifest)
    preparation.prepare_from(source, manifest, settings, out, report, workers, command)


def recordings(path: Path) -> list[Path]:
    """The recordings in a folder, in order of their paths, or in a list, relative to its own folder.

    Raises InputError if there are none, or with all that cannot be opened, whose format is not read, or that are empty.
    """
    if path.is_dir():
        paths = [file for file in folders.members(path) if file.suffix.lower() in SUFFIXES | UNREAD_SUFFIXES]
    elif path.is_file():
        try:
            with files.reading(path):
                lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as e:
            raise InputError(f"{path}: is no list of recordings, not UTF-8 text (byte {e.start})") from None
        paths = [path.parent / line.strip() for line in lines if line.strip()]
    else:
        raise InputError(f"{path}: no such file or folder of noise")
    if not paths:
        raise InputError(f"{path}: names no recording")
    faults = []
    for file in paths:
        try:
            if not length_of_wav(file):
                faults.append(f"{file}: no samples")
        except InputError as e:
            faults.append(str(e))
    if faults:
        raise InputError(f"{len(faults)} recordings of noise cannot be used:\n{listed(faults)}\nCorrect noise.files.")
    return paths


def mixed(speech: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Speech (samples,) plus noise (samples,) at a signal-to-noise ratio, float32; constant speech stays without noise.

    Raises InputError for noise without energy, and where the sum is not finite or of an impossible level.
    """
    with np.errstate(invalid="ignore"):  # the result is checked
        powers = [float(np.var(waveform, dtype=np.float64)) for waveform in (speech, noise)]
    if not powers[1]:
        raise InputError("the noise is silent")
    scale = (powers[0] / powers[1]) ** 0.5 * 10 ** (-snr_db / 20)
    with np.errstate(over="ignore", invalid="ignore"):
        summed: np.ndarray = (speech + scale * (noise - noise.mean(dtype=np.float64))).astype(np.float32)
    check_level(summed.min(initial=0), summed.max(initial=0))
    return summed


class Noisy(Media):
    """A source of wav files with noise, and of image files as they are.

    Raises InputError where babble lacks speakers, and where there are no recordings.
    """

    def __init__(self, settings: Preparation, added: AddedNoise, manifest: Manifest) -> None:
        super().__init__(settings.precision, settings.max_frames)
        self.added = added
        rows = zip(manifest.row_numbers(), manifest.utterances, strict=True)
        self._rows = {row: (u.id, u.speaker) for row, u in rows}
        self._voices = _by_speaker(manifest.utterances, added.babble_speakers) if added.babble_speakers else {}
        self._recordings = recordings(added.files) if added.files else []

    @override
    def process(self, samples: np.ndarray, row: int) -> np.ndarray:
        utterance_id, speaker = self._rows[row]
        key = f"{self.added.seed} {self.added.kind} {utterance_id}"
        rng = np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:16]))
        if self._voices:
            others = {name: wavs for name, wavs in self._voices.items() if name != speaker}
            noise = _babble(rng, len(samples), others, self.added.babble_speakers or 0)
        elif self._recordings:
            recording = _kept[self._recordings[int(rng.integers(len(self._recordings)))]]
            noise = _stretch(rng, recording, len(samples))
        else:
            noise = rng.standard_normal(len(samples))
        return mixed(samples, noise, self.added.snr_db)


def _by_speaker(utterances: Sequence[Utterance], voices: int) -> dict[str, list[Path]]:
    """Everyone's wav files, speakers and their utterances in the order of their names."""
    if without_speaker := [u.id for u in utterances if u.speaker is None]:
        raise InputError(
            "babble needs the speakers of all utterances; leave it out of noise.kinds."
            f" {len(without_speaker)} have none:\n" + listed(without_speaker)
        )
    voices_of: dict[str, list[Path]] = {}
    for u in sorted(utterances, key=lambda u: (u.speaker or "", u.id)):
        voices_of.setdefault(u.speaker or "", []).append(u.wav)
    if len(voices_of) <= voices:
        raise InputError(
            f"babble of {voices} other speakers needs {voices + 1} in the split, which has {len(voices_of)};"
            " lower noise.babble_speakers"
        )
    return voices_of


def _babble(rng: np.random.Generator, n: int, voices: Mapping[str, Sequence[Path]], number: int) -> np.ndarray:
    """The sum (n,) of the voices of `number` speakers, each of unit power; one without energy is left out."""
    total = np.zeros(n)
    for speaker in rng.choice(list(voices), number, replace=False).tolist():
        voice = read_wav(voices[speaker][int(rng.integers(len(voices[speaker])))]).astype(np.float64)
        if len(voice) and (power := voice.var()):
            total += _stretch(rng, (voice - voice.mean()) / power**0.5, n)
    return total


def _stretch(rng: np.random.Generator, recording: np.ndarray, n: int) -> np.ndarray:
    """The recording (n,) from a random place on, repeated as often as needed."""
    return np.resize(np.roll(recording, -int(rng.integers(len(recording)))), n)


class _Recordings:
    """The recordings that were used last, KEPT_BYTES of samples at most besides the one asked for."""

    def __init__(self) -> None:
        self._kept: dict[Path, np.ndarray] = {}

    def __getitem__(self, path: Path) -> np.ndarray:
        recording = self._kept.pop(path, None)
        if recording is None:
            recording = read_wav(path, allow_silent=False)
        while sum(kept.nbytes for kept in self._kept.values()) > KEPT_BYTES:
            del self._kept[next(iter(self._kept))]
        self._kept[path] = recording  # the last
        return recording


_kept = _Recordings()
