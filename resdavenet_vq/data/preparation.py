"""From a manifest to a store: every wav and image file read once, checked and converted, in parallel.

What is refused, cut or counted is told in one report. The store does not depend on the number
of workers, and equal input makes an equal file.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from functools import partial
from itertools import batched
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resdavenet_vq import files
from resdavenet_vq.config import Preparation
from resdavenet_vq.corpus.manifest import Manifest, Refusal, Utterance
from resdavenet_vq.data import features, images
from resdavenet_vq.data.store_writer import StoreWriter
from resdavenet_vq.errors import InputError
from resdavenet_vq.progress import track

_ROWS_PER_TASK = 8
_TASKS_PER_WORKER = 4  # begun before the first result is written: bounds memory


class _Task(NamedTuple):
    wav: Path
    image: Path | None
    """Only of the first row that shows it."""


class _Result(NamedTuple):
    logmel: np.ndarray | None
    n_samples: int
    image: bytes | None
    audio_fault: str
    image_fault: str


def prepare(manifest: Manifest, settings: Preparation, out: Path, report: Path, workers: int) -> None:
    """Writes the store `out` and the JSON `report`, each whole or not at all.

    Rows are refused for unreadable, truncated, non-finite or (unless allowed) silent audio, and for
    images that do not decode. With `bad_rows: stop` any refused row, the manifest's own included,
    raises InputError with all of them and nothing is written; with `skip` they are only reported.
    A split without any usable row is an error in any case.

    The report has `utterances`, `images`, `frames` (as stored), `hours` (of the audio before cuts),
    `refused` (row from 0, id, file, reason), `cut` (ids of utterances longer than `max_frames`) and
    `counted` (what the manifest noticed) and `noticed` (the first of it by name).
    """
    try:
        with _alone(out, report), StoreWriter(out.parent, settings.precision) as writer:
            refused, cut, frames, samples = _fill(writer, manifest, settings, f"preparing {out.stem}", workers)
            if refused and (settings.bad_rows == "stop" or not frames):
                raise InputError(_refusals(refused, len(manifest.utterances) + len(manifest.refused)))
            if not frames:
                raise InputError(f"{out}: the split has no rows to prepare")
            utterances, n_images = writer.write(out, settings.max_frames, f"prepare --settings '{settings.model_dump_json()}'")
            content = {
                "utterances": utterances,
                "images": n_images,
                "frames": frames,
                "hours": round(samples / features.SAMPLE_RATE / 3600, 6),
                "refused": [refusal._asdict() for refusal in refused],
                "cut": cut,
                "counted": manifest.counted,
                "noticed": manifest.noticed,
            }
            files.write_json(report, content)
    except OSError as e:
        raise InputError(f"{out}: cannot be written ({e.strerror or e}); is there room on the disk, and leave to write?") from None


def _fill(
    writer: StoreWriter, manifest: Manifest, settings: Preparation, label: str, workers: int
) -> tuple[list[Refusal], list[str], int, int]:
    """Gives the writer all good rows; returns the refused ones, the ids of those cut, stored frames, and samples."""
    refused, cut, frames, samples = list(manifest.refused), [], 0, 0
    image_faults: dict[str, str] = {}
    with closing(_in_parallel(_tasks(manifest.utterances), settings, workers)) as results:
        tracked = track(results, label, len(manifest.utterances), "rows")
        for result, utterance, row in zip(tracked, manifest.utterances, _row_numbers(manifest), strict=False):
            if utterance.image_id is not None:
                if result.image is not None:
                    writer.add_image(utterance.image_id, result.image)
                elif result.image_fault:
                    image_faults[utterance.image_id] = result.image_fault
            image_fault = image_faults.get(utterance.image_id or "", "")
            if result.logmel is None:
                reason = f"{result.audio_fault}; {utterance.image}: {image_fault}" if image_fault else result.audio_fault
                refused.append(Refusal(row, utterance.id, str(utterance.wav), reason))
            elif image_fault:
                refused.append(Refusal(row, utterance.id, str(utterance.image), image_fault))
            else:
                if features.frame_count(result.n_samples) > settings.max_frames:
                    cut.append(utterance.id)
                frames += len(result.logmel)
                samples += result.n_samples
                writer.add(utterance, result.logmel, result.n_samples)
    return sorted(refused), cut, frames, samples


def _tasks(utterances: Iterable[Utterance]) -> Iterator[_Task]:
    seen: set[str | None] = {None}
    for utterance in utterances:
        yield _Task(utterance.wav, None if utterance.image_id in seen else utterance.image)
        seen.add(utterance.image_id)


def _row_numbers(manifest: Manifest) -> Iterator[int]:
    """The row of each utterance: those that the manifest's refusals have left."""
    taken = {refusal.row for refusal in manifest.refused}
    return (row for row in range(len(manifest.utterances) + len(taken) + 1) if row not in taken)


def _refusals(refused: list[Refusal], rows: int) -> str:
    lines = [f"row {refusal.row} ({refusal.id or 'no id'}): {refusal.file or 'no file'}: {refusal.reason}" for refusal in refused]
    return "\n".join(
        [
            f"{len(refused)} of {rows} rows cannot be used:",
            *lines,
            "Mend or remove them, or set preparation.bad_rows to skip to go on without them.",
        ]
    )


def _convert(settings: Preparation, tasks: tuple[_Task, ...]) -> list[_Result]:
    return [_convert_one(settings, task) for task in tasks]


def _convert_one(settings: Preparation, task: _Task) -> _Result:
    """Reads, checks and converts the files of a row."""
    logmel, n_samples, image, audio_fault, image_fault = None, 0, None, "", ""
    try:
        audio = features.read_wav(task.wav, allow_silent=settings.allow_silent)
        n_samples = len(audio)
        logmel = features.log_mel(audio)[: settings.max_frames].astype(settings.precision)
    except InputError as e:
        audio_fault = str(e).removeprefix(f"{task.wav}: ")
    if task.image is not None:
        try:
            image = images.read(task.image)
        except InputError as e:
            image_fault = str(e).removeprefix(f"{task.image}: ")
    return _Result(logmel, n_samples, image, audio_fault, image_fault)


def _in_parallel(tasks: Iterable[_Task], settings: Preparation, workers: int) -> Generator[_Result]:
    """The results in the order of the tasks; only so many tasks are under way as keep the workers busy."""
    chunks = batched(tasks, _ROWS_PER_TASK)
    if workers <= 1:
        for chunk in chunks:
            yield from _convert(settings, chunk)
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    pending: deque[Future[list[_Result]]] = deque()
    with ProcessPoolExecutor(workers, context, initializer=_die_with_parent) as pool:
        try:
            for chunk in chunks:
                pending.append(pool.submit(partial(_convert, settings), chunk))
                if len(pending) >= workers * _TASKS_PER_WORKER:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        except BrokenProcessPool:
            raise InputError(
                "a worker process of the preparation was killed, perhaps for want of memory; run it again with fewer workers"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _die_with_parent() -> None:
    """Ends this worker when the process that started it is gone, however it went; an interrupt is that process's affair."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _alone(out: Path, report: Path) -> Iterator[None]:
    """Holds the right to write `out`, and clears away what a killed run has left beside it.

    The lock goes with the process, so a stale file does not block. Raises InputError naming the
    process that holds it.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    path = out.with_name(f".{out.name}.lock")
    while True:
        lock = path.open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise InputError(f"{out}: is being prepared by process {lock.read().strip() or 'unknown'}; wait for it or stop it") from None
        if path.exists() and path.stat().st_ino == os.fstat(lock.fileno()).st_ino:
            break
        lock.close()  # its holder has just removed it
    try:
        lock.truncate(0)
        lock.write(f"{os.getpid()} on {os.uname().nodename}")
        lock.flush()
        for file in (out, report):
            for leftover in file.parent.glob(f".{file.name}.*.tmp"):
                leftover.unlink(missing_ok=True)
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.close()
