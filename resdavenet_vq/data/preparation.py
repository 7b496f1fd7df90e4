"""From a manifest to a store: every utterance and image read once, checked and converted, in parallel.

Rows that are refused, cut or counted are listed in one report. The store does not depend on the number
of workers, and equal input makes an equal file.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing
from functools import partial
from itertools import tee
from pathlib import Path
from typing import Any

from resdavenet_vq import files
from resdavenet_vq.config import Preparation
from resdavenet_vq.corpus.disk import DiskDict
from resdavenet_vq.corpus.manifest import Manifest, Refusal, Utterance, refusals
from resdavenet_vq.data import features, release_2020
from resdavenet_vq.data.conversion import LOADED, ORDER, Converted, Task, convert
from resdavenet_vq.data.faults import common_fault, write_refused
from resdavenet_vq.data.sources import Media, Outside, Source
from resdavenet_vq.data.store_writer import StoreWriter
from resdavenet_vq.data.workers import in_parallel
from resdavenet_vq.errors import InputError, printable
from resdavenet_vq.progress import track


def prepare(
    manifest: Manifest, settings: Preparation, out: Path, report: Path, workers: int, release: Path | None = None
) -> None:
    """Writes the store `out`, its digest, and the JSON `report`, all or none.

    The reader `release_2020` needs `release`, the JSON file that names the two HDF5 files of the split. Rows are refused
    for unreadable, truncated, non-finite or silent audio, for images that do not decode, and for rows of the 2020 files
    that cannot be this utterance's; also a row whose process was killed or took too long. With `bad_rows: stop` any
    refused row, the manifest's own included, raises InputError, and nothing is written but a list of all of them: for a
    report `NAME.report.json` or `NAME.json`, `NAME.refused.json`, which the next run removes. With `skip` they are
    only reported. A split without any usable row is an error in any case.

    The report has `utterances`, `images`, `frames` (after cuts), `hours` (of the audio before cuts),
    `refused` (row from 0, id, file, reason), `cut` (ids of utterances longer than `max_frames`),
    `counted` (what else was noticed) and `noticed` (the first of it by name).
    """
    source, release_attributes = open_source(manifest, settings, release)
    command = f"prepare --settings '{command_settings(settings)}'"
    prepare_from(source, manifest, settings, out, report, workers, command, release_attributes)


def command_settings(settings: Preparation, *others: str) -> str:
    """The settings as JSON, without how a split is divided, and without `others`; a size of images only if there is one."""
    absent = {"image_size"} if settings.image_size is None else set()
    return settings.model_dump_json(exclude={"rows_per_part", "parts", *absent, *others})


def open_source(manifest: Manifest, settings: Preparation, release: Path | None) -> tuple[Source, dict[str, Any]]:
    """The source of features and images, and the store's attributes of the release's files, for a whole split."""
    if settings.reader != "release_2020":
        return Media(settings.precision, settings.max_frames), {}
    if release is None:
        raise InputError(
            "preparation.reader: release_2020 needs corpus.release_hdf5,"
            " the JSON file that names the HDF5 files of the split"
        )
    source = release_2020.Release2020(release, manifest.rows, settings.precision, settings.max_frames)
    source.check(with_images=any(utterance.image for utterance in manifest.utterances))
    return source, {"json": str(release), "rows": manifest.rows}


def one_at_a_time(out: Path) -> AbstractContextManager[None]:
    """The lock of a store that is being prepared."""
    return files.lock(out.with_name(f".{out.name}.lock"), f"{out}: is being prepared", out)


def prepare_from(
    source: Source,
    manifest: Manifest,
    settings: Preparation,
    out: Path,
    report: Path,
    workers: int,
    command: str,
    release: Mapping[str, Any] | None = None,
    part: Mapping[str, Any] | None = None,
) -> None:
    """As `prepare`, of the features and images of any source. `command` says how the store was made.

    With `part`, an attribute of the store, the manifest is a part of a split, which may have no usable rows.
    """
    refused_path = report.with_name(f"{report.name.removesuffix('.json').removesuffix('.report')}.refused.json")
    files.check_outputs(out, report)
    with files.writing(out), one_at_a_time(out), files.together():
        refused_path.unlink(missing_ok=True)
        with StoreWriter(out.parent, settings.precision, settings.reader, release, settings.image_size) as writer:
            content = _fill(writer, manifest, settings, source, f"preparing {out.stem}", workers)
            refused = [Refusal(**refusal) for refusal in content["refused"]]
            is_empty = not content["frames"] and part is None
            if not refused or (settings.bad_rows == "skip" and not is_empty):
                if is_empty:
                    raise InputError(f"{out}: the split has no rows to prepare")
                content["utterances"], content["images"] = writer.write(out, settings.max_frames, command, part)
                files.write_json(report, content)
                files.write_digest(out)
                if refused:
                    left_out = f"{len(refused)} of {manifest.rows} rows left out, which {report} lists"
                    print(printable(f"{out}: {left_out}"), file=sys.stderr)
                return
    text = refusals(refused, manifest.rows, manifest.lists)
    if not content["frames"] and (cause := common_fault([r[2:] for r in refused])):
        text = f"{cause}\n{text}"
    raise InputError(f"{text}\n{write_refused(refused_path, content['refused'])}")


def _fill(
    writer: StoreWriter, manifest: Manifest, settings: Preparation, source: Source, label: str, workers: int
) -> dict[str, Any]:
    """Gives the writer all good rows. The content of the report, numbers of utterances and images still to come."""
    refused = list(manifest.refused)
    names = {what: list(names) for what, names in manifest.noticed.items()}
    notices = Manifest(counted=dict(manifest.counted), noticed=names)
    cut: list[str] = []
    n_frames = n_samples = 0
    image_faults: dict[str | None, str] = {}
    rows, rows_again = tee(
        zip(manifest.utterances, manifest.row_numbers(), strict=True)
    )  # as many apart as are in work
    tasks = _tasks(rows, every_image=settings.reader == "release_2020")
    with closing(_convert_all(tasks, settings, source, workers)) as results:
        tracked = track(results, label, len(manifest.utterances), "rows")
        for result, (utterance, row) in zip(tracked, rows_again, strict=True):
            if result.image_fault:
                image_faults[utterance.image_id] = result.image_fault
            image_fault = "" if result.image else image_faults.get(utterance.image_id, "")
            if result.image and utterance.image_id and not writer.add_image(utterance.image_id, result.image):
                image_fault = "differs from the image of an earlier row with the same name; " + ORDER
            image_file = utterance.image and source.image_file(utterance.image)
            if result.logmel is None:
                reason = f"{result.audio_fault}; {image_file}: {image_fault}" if image_fault else result.audio_fault
                refused.append(Refusal(row, utterance.id, str(source.audio_file(utterance.wav)), reason))
                continue
            if image_fault:
                refused.append(Refusal(row, utterance.id, str(image_file), image_fault))
                continue
            if features.frame_count(result.n_samples) > settings.max_frames:
                cut.append(utterance.id)
            for notice in result.notices:
                notices.notice(notice, utterance.id)
            n_frames += result.logmel.length if isinstance(result.logmel, Outside) else len(result.logmel)
            n_samples += result.n_samples
            writer.add(utterance, result.logmel, result.n_samples)
    return {
        "utterances": 0,
        "images": 0,
        "frames": n_frames,
        "hours": round(n_samples / features.SAMPLE_RATE / 3600, 6),
        "refused": [refusal._asdict() for refusal in sorted(refused)],
        "cut": cut,
        "counted": notices.counted,
        "noticed": notices.noticed,
    }


def _tasks(rows: Iterable[tuple[Utterance, int]], *, every_image: bool) -> Iterator[Task]:
    first_row_of = DiskDict[int]()
    for utterance, row in rows:
        image_id = utterance.image_id
        is_first = image_id is not None and (every_image or first_row_of.setdefault(image_id, row) == row)
        yield Task(row, utterance.wav, utterance.image if is_first else None)


def _convert_all(tasks: Iterable[Task], settings: Preparation, source: Source, workers: int) -> Generator[Converted]:
    """The outcome of every row, in order; a row that its process did not survive has only a fault."""
    return in_parallel(tasks, partial(convert, settings.reader, settings.image_size, source), workers, LOADED, _failed)


def _failed(task: Task, reason: str) -> Converted:  # noqa: ARG001
    return Converted(audio_fault=f"reading the row's audio and image {reason}")


def any_usable(manifest: Manifest, rows: Collection[int], settings: Preparation, source: Source, workers: int) -> bool:
    """Whether the audio and the image of one of these rows can be read and pass all checks."""
    numbered = zip(manifest.row_numbers(), manifest.utterances, strict=True)
    tasks = (Task(row, utterance.wav, utterance.image) for row, utterance in numbered if row in rows)
    with closing(_convert_all(tasks, settings, source, workers)) as results:
        return any(not (result.audio_fault or result.image_fault) for result in results)
