"""espeak-ng, the synthesizer, through ctypes: words in, samples and exact phone times out.

The library keeps state (phase, flutter, random numbers) that even its own termination does not clear, so that the same
call gives other samples later in a process. Therefore a freshly loaded copy speaks each utterance, which costs about
10 ms; the same words, voice and seed then always give the same samples, with one build of the library on one type of
processor. It is not thread-safe either: parallel work is for processes.
"""

from __future__ import annotations

import _ctypes
import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from resdavenet_vq.errors import InputError

SILENCE = "SIL"
PAUSE = ","
"""The token that is no word: a pause between two phrases."""

# From espeak-ng's speak_lib.h and, for SetRandSeed, espeak_ng.h (version 1.52).
_OUTPUT_SYNCHRONOUS = 2
_PHONEME_EVENTS = 0x0001
_DONT_EXIT = 0x8000
_BUFFER_MS = 200  # fixed: the samples depend on it slightly, and short buffers are slow
_CHARACTERS_ARE_UTF8 = 1
_BY_CHARACTER = 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_EVENT_LIST_END, _EVENT_PHONEME = 0, 7

_NO_BREAK_SPACE = "\u00a0"
_STRESS_MARKS = "',%=_:|"
_MODIFIER = ";"  # of the phoneme before it, with no length of its own

PHONES = {
    "0": "AA", "A:": "AA", "A@": "AAR", "a": "AE", "aa": "AE", "a#": "AH", "@": "AH", "@2": "AH", "V": "AH",
    "@L": "AHL", "3": "ER", "3:": "ER", "E": "EH", "e@": "EHR", "eI": "EY", "I": "IH", "I#": "IH", "I2": "IH", "i": "IY", "i:": "IY",
    "i@3": "IHR", "O2": "AO", "O": "AO", "O:": "AO", "o@": "AOR", "O@": "AOR", "oU": "OW", "U": "UH", "u:": "UW",
    "aI": "AY", "aU": "AW", "OI": "OY", "D": "DH", "T": "TH", "S": "SH", "Z": "ZH", "tS": "CH", "dZ": "JH", "N": "NG",
    "t": "T", "t2": "T", "t#": "DX", "d": "D", "p": "P", "b": "B", "k": "K", "g": "G", "f": "F", "v": "V", "s": "S",
    "z": "Z", "h": "HH", "m": "M", "n": "N", "l": "L", "r": "R", "r-": "R", "w": "W", "j": "Y",
}  # fmt: skip
"""espeak-ng's mnemonics in American English and our labels, close to ARPABET; a vowel with R or L is one phone."""

STOPS = frozenset({"P", "B", "T", "D", "K", "G", "CH", "JH", "DX"})
_LONGEST_ZERO_RUN_IN_A_PHONE = 0.002  # seconds; longer ones are a closure, whatever phone follows


class Voice(NamedTuple):
    """How the synthesizer is set: a variant of its American English, and its own 0 to 99 scales."""

    variant: str
    pitch: int
    pitch_range: int
    rate: int
    """Words a minute."""


class Segment(NamedTuple):
    """A phone or pause in samples, the end excluded; `word` counts the words from 0, None in a pause."""

    start: int
    end: int
    phone: str
    word: int | None


class Synthesis(NamedTuple):
    """Samples (n,) int16 at `sample_rate` Hz, and the segments that tile them, with pauses first and last."""

    samples: np.ndarray
    sample_rate: int
    segments: list[Segment]


class _Event(ctypes.Structure):
    _numbers = ("type", "unique_identifier", "text_position", "length", "audio_position", "sample")
    _fields_ = [
        *((name, ctypes.c_int) for name in _numbers),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),  # the largest member of a union; not always ended by a zero
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class _Phoneme(NamedTuple):
    """One event: where it begins, its mnemonic, and the character (from 1) at which its word begins."""

    sample: int
    mnemonic: str
    text_position: int


def synthesize(words: Sequence[str], voice: Voice, seed: int) -> Synthesis:
    """Speaks the words (lower case; PAUSE between phrases) with every random choice following from `seed`."""
    text, word_at = _text_of(words)
    with _fresh_library() as (library, sample_rate):
        if library.espeak_SetVoiceByName(f"en-us+{voice.variant}".encode()) != 0:
            raise InputError(f"espeak-ng cannot set its voice en-us+{voice.variant}; is its data folder complete?")
        for parameter, value in ((_RATE, voice.rate), (_PITCH, voice.pitch), (_RANGE, voice.pitch_range)):
            library.espeak_SetParameter(parameter, value, 0)
        library.espeak_ng_SetRandSeed(seed)
        samples, phonemes = _speak(library, text)
    segments = _segments(samples, phonemes, word_at, sample_rate)
    if {s.word for s in segments} - {None} != set(word_at.values()):
        raise InputError(f"espeak-ng did not report every word of {text!r}; use espeakng-loader 0.2.4")
    return Synthesis(samples, sample_rate, segments)


def _text_of(words: Sequence[str]) -> tuple[str, dict[int, int]]:
    """The text to speak, and the number of the word that begins at each character, from 1.

    The synthesizer knows pairs of words ("on the", "next to") that it speaks as one with one event; a no-break space
    between words prevents that, and changes nothing else.
    """
    text, word_at = "", dict[int, int]()
    for word in words:
        if word == PAUSE:
            text += PAUSE
            continue
        if text:
            text += " " if text.endswith(PAUSE) else _NO_BREAK_SPACE
        word_at[len(text) + 1] = len(word_at)
        text += word
    return text + ".", word_at


def library_paths() -> tuple[str, str]:
    """The shared library and its data folder. Raises InputError where they are not installed."""
    try:
        import espeakng_loader
    except ImportError:
        raise InputError(
            "the demo corpus is spoken by espeak-ng, which is missing: pip install 'resdavenet-vq[demo]'"
        ) from None
    return espeakng_loader.get_library_path(), espeakng_loader.get_data_path()


@contextmanager
def _fresh_library() -> Iterator[tuple[ctypes.CDLL, int]]:
    """A newly loaded copy of the library and its sample rate, unloaded afterwards."""
    path, data = library_paths()
    library = ctypes.CDLL(path)
    try:
        library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
        library.espeak_Synth.argtypes = [
            ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint,
            ctypes.POINTER(ctypes.c_uint), ctypes.c_void_p,
        ]  # fmt: skip
        sample_rate = library.espeak_Initialize(
            _OUTPUT_SYNCHRONOUS, _BUFFER_MS, os.fsencode(data), _PHONEME_EVENTS | _DONT_EXIT
        )
        if sample_rate <= 0:
            raise InputError(f"espeak-ng does not start; is its data folder {data} complete?")
        yield library, sample_rate
        library.espeak_Terminate()
    finally:
        _ctypes.dlclose(library._handle)  # noqa: SLF001 (the only way to unload)


def _speak(library: ctypes.CDLL, text: str) -> tuple[np.ndarray, list[_Phoneme]]:
    """Samples (n,) int16, and the phoneme events in order of time."""
    chunks: list[np.ndarray] = []
    phonemes: list[_Phoneme] = []

    def receive(wav: ctypes._Pointer[ctypes.c_short], n_samples: int, events: ctypes._Pointer[_Event]) -> int:
        if wav and n_samples > 0:  # neither is certain
            chunks.append(np.ctypeslib.as_array(wav, (n_samples,)).copy())
        number = 0
        while events and events[number].type != _EVENT_LIST_END:
            event = events[number]
            if event.type == _EVENT_PHONEME:
                phonemes.append(_Phoneme(event.sample, event.name.decode(), event.text_position))
            number += 1
        return 0  # go on

    callback = _Callback(receive)  # the name keeps it alive during the call
    library.espeak_SetSynthCallback(callback)
    encoded = text.encode() + b"\0"
    status = library.espeak_Synth(encoded, len(encoded), 0, _BY_CHARACTER, 0, _CHARACTERS_ARE_UTF8, None, None)
    if status != 0 or not chunks:
        raise InputError(f"espeak-ng could not speak {text!r}")
    return np.concatenate(chunks), phonemes


def _segments(
    samples: np.ndarray, phonemes: list[_Phoneme], word_at: dict[int, int], sample_rate: int
) -> list[Segment]:
    """Segments that tile the samples, beginning and ending with a pause.

    The event of a stop comes with its release. Its closure, a run of zeros just before, belongs to the stop, and
    likewise any longer run of zeros to the phone that follows it.
    """
    events: list[tuple[int, str, int | None]] = [(0, SILENCE, None)]
    for phoneme in phonemes:
        mnemonic = "" if phoneme.mnemonic.startswith("_") else phoneme.mnemonic.lstrip(_STRESS_MARKS)
        if mnemonic == _MODIFIER:
            continue
        if mnemonic and mnemonic not in PHONES:
            raise InputError(
                f"espeak-ng reports the phoneme {mnemonic!r}, which has no label here; use espeakng-loader 0.2.4"
            )
        label, word = (PHONES[mnemonic], word_at.get(phoneme.text_position)) if mnemonic else (SILENCE, None)
        events.append((phoneme.sample, label, word))
    events.append((len(samples), SILENCE, None))

    starts, labels, words = zip(*events, strict=True)
    sounding = np.flatnonzero(np.abs(samples.astype(np.int32)) > 1)
    adjusted = list(starts)
    for i in range(1, len(starts)):
        if SILENCE in (labels[i - 1], labels[i]):
            continue
        before = int(np.searchsorted(sounding, starts[i]))
        closure = max(starts[i - 1], int(sounding[before - 1]) + 1 if before else 0)
        if labels[i] in STOPS or starts[i] - closure > _LONGEST_ZERO_RUN_IN_A_PHONE * sample_rate:
            adjusted[i] = closure

    segments: list[Segment] = []
    for start, end, label, word in zip(adjusted, [*adjusted[1:], len(samples)], labels, words, strict=True):
        if segments and label == segments[-1].phone == SILENCE:
            segments[-1] = segments[-1]._replace(end=end)
        elif end > start or label == SILENCE:
            segments.append(Segment(start, end, label, word))
    return segments
