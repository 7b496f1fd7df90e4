"""From a manifest to a store: every utterance and image read once, checked and converted, in parallel.

What is refused, cut or counted is told in one report. The store does not depend on the number
of workers, and equal input makes an equal file.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resdavenet_vq import files
from resdavenet_vq.config import Preparation
from resdavenet_vq.corpus.manifest import Manifest, Refusal, Utterance, refusals
from resdavenet_vq.data import features, images, sources
from resdavenet_vq.data.dealing import ShardRows
from resdavenet_vq.data.store_writer import StoreWriter
from resdavenet_vq.data.workers import in_parallel
from resdavenet_vq.errors import InputError
from resdavenet_vq.progress import track


class _Task(NamedTuple):
    row: int
    wav: Path
    image: Path | None
    """With wav and image files, only of the first row that shows it."""


class _Item[T](NamedTuple):
    """Features or an image: themselves if they go into the store, else what the store keeps of them."""

    data: T | None
    length: int
    crc32: int


@dataclass
class _Result:
    """What became of a row."""

    logmel: _Item[np.ndarray] | None = None
    n_samples: int = 0
    image: _Item[bytes] | None = None
    audio_fault: str = ""
    image_fault: str = ""
    noticed: str = ""


@dataclass
class _Told:
    """What the report tells."""

    refused: list[Refusal]
    counted: Manifest
    """Without its utterances."""
    cut: list[str] = field(default_factory=list)
    frames: int = 0
    samples: int = 0


@dataclass(frozen=True)
class _Work:
    """What is prepared together: a split, or a shard of one."""

    manifest: Manifest
    numbers: Sequence[int]
    """The row of each utterance, as the report and the release's files have it."""
    rows: int
    settings: Preparation
    what: str
    """In messages, what the rows are rows of."""
    command: str
    """How the store was made."""
    may_be_empty: bool


def prepare(
    manifest: Manifest, settings: Preparation, out: Path, report: Path, workers: int, release: Path | None = None
) -> None:
    """Writes the store `out` and the JSON `report`, each whole or not at all.

    The reader `release_2020` needs `release`, the JSON file that names the two HDF5 files of the split.

    Rows are refused for unreadable, truncated, non-finite or (unless allowed) silent audio, for images that do
    not decode, and for rows of the 2020 files that cannot be this utterance's. With `bad_rows: stop` any refused row, the manifest's own included,
    raises InputError with all of them and nothing is written; with `skip` they are only reported.
    A split without any usable row is an error in any case.

    The report has `utterances`, `images`, `frames` (after cuts), `hours` (of the audio before cuts),
    `refused` (row from 0, id, file, reason), `cut` (ids of utterances longer than `max_frames`) and
    `counted` (what else was noticed) and `noticed` (the first of it by name).
    """
    command = f"prepare --settings '{settings.model_dump_json(exclude={'shards'})}'"
    work = _Work(manifest, manifest.row_numbers(), manifest.rows, settings, "", command, may_be_empty=False)
    _prepare(work, out, report, workers, release)


def prepare_from(
    source: sources.Source,
    manifest: Manifest,
    settings: Preparation,
    out: Path,
    report: Path,
    workers: int,
    command: str,
) -> None:
    """The same of the features and images that a source gives, which all go into the store; `command` says how it was made."""
    work = _Work(manifest, manifest.row_numbers(), manifest.rows, settings, "", command, may_be_empty=False)
    _prepare(work, out, report, workers, None, source)


def prepare_shard(
    dealt: ShardRows, settings: Preparation, out: Path, report: Path, workers: int, release: Path | None = None
) -> None:
    """Writes the store and the report of one shard's rows, as `prepare` does of a whole split's; a shard may have no rows.

    The bytes do not depend on `bad_rows`; a shard with refused rows is finished only with `skip`.
    """
    command = f"prepare-shard --settings '{settings.model_dump_json(exclude={'shards', 'bad_rows'})}'"
    work = _Work(dealt.manifest, dealt.numbers, dealt.rows, settings, " of the shard", command, may_be_empty=True)
    _prepare(work, out, report, workers, release)


def _prepare(
    work: _Work, out: Path, report: Path, workers: int, release: Path | None, given: sources.Source | None = None
) -> None:
    settings = work.settings
    source, release_attributes = (given, {}) if given else _source(work, release)
    try:
        with (
            alone(out, report),
            StoreWriter(out.parent, settings.precision, settings.reader, release_attributes) as writer,
        ):
            told = _fill(writer, work, source, f"preparing {out.stem}", workers)
            empty = not told.frames and not work.may_be_empty
            if told.refused and (settings.bad_rows == "stop" or empty):
                raise InputError(refusals(told.refused, work.rows, work.what))
            if empty:
                raise InputError(f"{out}: the split has no rows to prepare")
            utterances, n_images = writer.write(out, settings.max_frames, work.command)
            content = {
                "utterances": utterances,
                "images": n_images,
                "frames": told.frames,
                "hours": round(told.samples / features.SAMPLE_RATE / 3600, 6),
                "refused": [refusal._asdict() for refusal in told.refused],
                "cut": told.cut,
                "counted": told.counted.counted,
                "noticed": told.counted.noticed,
            }
            files.write_json(report, content)
    except OSError as e:
        raise InputError(
            f"{out}: cannot be written ({e.strerror or e}); is there room on the disk, and leave to write?"
        ) from None


def _source(work: _Work, release: Path | None) -> tuple[sources.Source, dict[str, Any]]:
    """Where features and images come from, and what the store has to know of the release's files."""
    settings = work.settings
    if settings.reader != "release_2020":
        return sources.Media(settings.precision, settings.max_frames, settings.allow_silent), {}
    if release is None:
        raise InputError(
            "preparation.reader: release_2020 needs corpus.release_hdf5, the JSON file that names the HDF5 files of the split"
        )
    source = sources.Release2020(
        release, work.rows, settings.precision, settings.max_frames, allow_silent=settings.allow_silent
    )
    source.check(with_images=any(utterance.image for utterance in work.manifest.utterances))
    return source, {"json": str(release), "rows": work.rows}


def _fill(writer: StoreWriter, work: _Work, source: sources.Source, label: str, workers: int) -> _Told:
    """Gives the writer all good rows."""
    manifest, settings = work.manifest, work.settings
    noticed = {what: list(names) for what, names in manifest.noticed.items()}
    told = _Told(list(manifest.refused), Manifest(counted=dict(manifest.counted), noticed=noticed))
    known_images = _Images(writer)
    tasks = _tasks(work, every_image=settings.reader == "release_2020")
    with closing(in_parallel(tasks, partial(_convert, settings, source), workers, preload=__name__)) as results:
        tracked = track(results, label, len(manifest.utterances), "rows")
        for result, utterance, row in zip(tracked, manifest.utterances, work.numbers, strict=False):
            image_fault = "" if utterance.image_id is None else known_images.add(utterance.image_id, result)
            image_file = utterance.image and source.image_file(utterance.image)
            if result.logmel is None:
                reason = f"{result.audio_fault}; {image_file}: {image_fault}" if image_fault else result.audio_fault
                told.refused.append(Refusal(row, utterance.id, str(source.audio_file(utterance.wav)), reason))
            elif image_fault:
                told.refused.append(Refusal(row, utterance.id, str(image_file), image_fault))
            else:
                if features.frame_count(result.n_samples) > settings.max_frames:
                    told.cut.append(utterance.id)
                if result.noticed:
                    told.counted.notice(result.noticed, utterance.id)
                told.frames += result.logmel.length
                told.samples += result.n_samples
                _add(writer, utterance, row, result.logmel, result.n_samples)
    told.refused.sort()
    return told


class _Images:
    """Gives the writer each image once, and remembers what is wrong with the others."""

    def __init__(self, writer: StoreWriter) -> None:
        self._writer = writer
        self._crc32s: dict[str, int] = {}
        self._faults: dict[str, str] = {}

    def add(self, identity: str, result: _Result) -> str:
        """Takes the image of a row's result, if it was read with this row, and returns what is wrong with it."""
        image = result.image
        if result.image_fault:
            self._faults[identity] = result.image_fault
            return result.image_fault
        if image is None:
            return self._faults.get(identity, "")
        if identity in self._crc32s:
            same = self._crc32s[identity] == image.crc32
            return (
                ""
                if same
                else "differs from the image of an earlier row with the same name; are the rows in the corpus's order?"
            )
        self._crc32s[identity] = image.crc32
        if image.data is None:
            self._writer.add_outside_image(identity, image.length, image.crc32)
        else:
            self._writer.add_image(identity, image.data)
        return ""


def _add(writer: StoreWriter, utterance: Utterance, row: int, logmel: _Item[np.ndarray], n_samples: int) -> None:
    if logmel.data is None:
        writer.add_outside(utterance, logmel.length, n_samples, logmel.crc32, row)
    else:
        writer.add(utterance, logmel.data, n_samples)


def _tasks(work: _Work, *, every_image: bool) -> Iterator[_Task]:
    seen: set[str | None] = {None}
    for utterance, row in zip(work.manifest.utterances, work.numbers, strict=True):
        yield _Task(row, utterance.wav, None if utterance.image_id in seen else utterance.image)
        if not every_image:
            seen.add(utterance.image_id)


def _convert(settings: Preparation, source: sources.Source, tasks: tuple[_Task, ...]) -> list[_Result]:
    return [_convert_one(settings, source, task) for task in tasks]


def _convert_one(settings: Preparation, source: sources.Source, task: _Task) -> _Result:
    """Reads, checks and converts what belongs to a row."""
    result, inside = _Result(), settings.reader == "store"
    try:
        logmel, result.n_samples = source.logmel(task.wav, task.row)
        if settings.reader == "release_2020":
            result.n_samples, result.noticed = _length(task.wav, result.n_samples)
        crc32 = 0 if inside else source.audio_crc32(task.wav, task.row)
        result.logmel = _Item(logmel if inside else None, len(logmel), crc32)
    except InputError as e:
        result.audio_fault = str(e).removeprefix(f"{source.audio_file(task.wav)}: ")
    if task.image is not None:
        try:
            image = source.image(task.image, task.row)
            images.check(image)
            result.image = _Item(image if inside else None, len(image), zlib.crc32(image))
        except InputError as e:
            result.image_fault = str(e).removeprefix(f"{source.image_file(task.image)}: ")
    return result


def _length(wav: Path, least: int) -> tuple[int, str]:
    """The length of audio whose features the release has, at least so many samples, and what there is to notice."""
    n_frames = features.frame_count(least)
    if not wav.exists():
        cut = ", perhaps of a longer one" if n_frames == sources.RELEASE_FRAMES else ""
        return least, f"no wav file: the length is that of the frames{cut}"
    n_samples = features.length_of_wav(wav)
    expected = min(features.frame_count(n_samples), sources.RELEASE_FRAMES)
    if abs(n_frames - expected) > 1:  # another resampler may round otherwise
        raise InputError(
            f"the row has {n_frames} frames where {wav} has {expected}; are the rows in the corpus's order?"
        )
    return n_samples, ""


@contextmanager
def alone(out: Path, report: Path) -> Iterator[None]:
    """Holds the right to write `out`, and clears away what a killed run has left beside it.

    Raises InputError naming the process that holds it.
    """
    with files.lock(out.with_name(f".{out.name}.lock"), f"{out}: is being prepared"):
        for file in (out, report):
            for leftover in file.parent.glob(f".{file.name}.*.tmp"):
                leftover.unlink(missing_ok=True)
        yield
