"""From the shards of a split to one small store that points to them, and one report.

Whoever opens the store sees the split as if it had never been divided: the same utterances and images, by the same numbers. No
features and no images are copied; a shard that was prepared again costs itself and this.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from resdavenet_vq import files
from resdavenet_vq.corpus.manifest import MOST_NAMED, Refusal, refusals
from resdavenet_vq.data import features
from resdavenet_vq.data import store_format as header
from resdavenet_vq.data.dealing import Order, read_order
from resdavenet_vq.data.preparation import alone
from resdavenet_vq.data.shard_files import Shard, shards_to_bytes
from resdavenet_vq.data.store import Store
from resdavenet_vq.data.store_writer import attributes_of, write_file
from resdavenet_vq.errors import InputError
from resdavenet_vq.progress import track

SAME_IN_ALL = ("reader", "release", "precision", "features_hash", "max_frames")
"""Attributes that the shards of a split must share."""


@dataclass
class _Part:
    """What is small of a shard, and where its rows stand in the split."""

    pointer: Shard
    attributes: dict[str, Any]
    ids: list[str]
    image_ids: list[str]
    columns: dict[str, np.ndarray]
    """As the store to be has them, but for the numbers of images: within the shard."""
    report: dict[str, Any]
    places: np.ndarray
    """(N,) int64: which of the usable rows of the corpus its utterances are."""
    refused: list[Refusal]
    """With their rows in the corpus."""


def gather(folder: Path, digest: str, bad_rows: str, out: Path, report: Path) -> None:
    """Writes the store `out`, which points to the shards in `folder`, and the report of the whole split, each whole or not at all.

    `digest` is that of the order in which the rows were dealt. With `bad_rows: stop` any refused row, in whichever shard,
    raises InputError with all of them. So do shards that are missing, damaged, of other settings than the first, or of other rows
    than were dealt.
    """
    order = read_order(folder, digest)
    parts = list(_parts(folder, order))
    refused = sorted([*order.refused, *(refusal for part in parts for refusal in part.refused)])
    parts = [part for part in parts if part.ids]
    if refused and (bad_rows == "stop" or not parts):
        raise InputError(refusals(refused, order.rows))
    if not parts:
        raise InputError(f"{out}: the split has no rows to prepare")
    _check_alike(parts, folder.parent)
    try:
        with alone(out, report):
            told = _report(parts, order, refused)
            told["images"] = _write(parts, out)
            files.write_json(report, told)
    except OSError as e:
        raise InputError(
            f"{out}: cannot be written ({e.strerror or e}); is there room on the disk, and leave to write?"
        ) from None


def _parts(folder: Path, order: Order) -> Iterator[_Part]:
    shards, rows = np.array(order.shards, np.int64), np.array(order.row_numbers(), np.int64)
    by_shard = np.split(np.argsort(shards, kind="stable"), np.cumsum(np.bincount(shards))[:-1])
    for number, places in enumerate(track(by_shard, "gathering", unit="shards")):
        store, told = (
            Store(folder / f"{number}.h5", may_be_empty=True),
            files.read_json(folder / f"{number}.report.json"),
        )
        refused = [Refusal(**refusal) for refusal in told["refused"]]
        if (
            store.attributes["reader"] != "release_2020"
        ):  # with the release's files they are those of the corpus already
            refused = [refusal._replace(row=int(rows[places[refusal.row]])) for refusal in refused]
        used = places[~np.isin(rows[places], [refusal.row for refusal in refused])]
        if len(used) != len(store) or told["utterances"] != len(store):
            raise InputError(f"{store.path}: is not the shard of these rows; prepare it again")
        content = header.Header.read(store.path)
        pointer = Shard(store.path.relative_to(folder.parent).as_posix(), content.size, content.sha256)
        yield _Part(pointer, store.attributes, store.ids, store.image_ids, _columns(store), told, used, refused)


def _columns(store: Store) -> dict[str, np.ndarray]:
    reader = store.attributes["reader"]
    columns = {"n_samples": store.n_samples, "image_index": store.image_index}
    if reader == "release_2020":
        columns["source_row"] = store.column("source_row")
    for name in header.RAGGED:
        columns[f"{name}_sizes"] = np.diff(store.column(f"{name}_offsets"))
        if name in header.WITH_CRC32:
            columns[f"{name}_crc32"] = store.column(f"{name}_crc32")
        if name in header.pointed_to(reader):
            columns[f"{name}_at"] = store.positions(name)
    return columns


def _check_alike(parts: Sequence[_Part], folder: Path) -> None:
    first = parts[0]
    for part in parts[1:]:
        for name in SAME_IN_ALL:
            if part.attributes[name] != first.attributes[name]:
                raise InputError(
                    f"{folder / part.pointer.path}: {name} differs from that of {folder / first.pointer.path}; prepare them again"
                )


def _report(parts: Sequence[_Part], order: Order, refused: list[Refusal]) -> dict[str, Any]:
    """What `preparation.prepare` would tell of the whole split, but for the number of images."""
    place_of = {i: place for part in parts for i, place in zip(part.ids, part.places.tolist(), strict=True)}
    counted, noticed = dict(order.counted), {what: list(names) for what, names in order.noticed.items()}
    for part in parts:
        for what, number in part.report["counted"].items():
            counted[what] = counted.get(what, 0) + number
        for what, names in part.report["noticed"].items():
            noticed.setdefault(what, []).extend(names)
    for what in {what for part in parts for what in part.report["noticed"]}:
        noticed[what] = sorted(noticed[what], key=place_of.__getitem__)[:MOST_NAMED]
    samples = sum(int(part.columns["n_samples"].sum()) for part in parts)
    return {
        "utterances": len(place_of),
        "images": 0,
        "frames": sum(part.report["frames"] for part in parts),
        "hours": round(samples / features.SAMPLE_RATE / 3600, 6),
        "refused": [refusal._asdict() for refusal in refused],
        "cut": sorted((i for part in parts for i in part.report["cut"]), key=place_of.__getitem__),
        "counted": counted,
        "noticed": noticed,
    }


def _write(parts: Sequence[_Part], out: Path) -> int:
    """Writes the store; returns how many images it has."""
    shared = parts[0].attributes
    data = _index(parts, shared["reader"])
    lengths = {name: len(data[name]) for name in (*header.IN_INDEX, "shards")}
    n, n_images = len(data["shard"]), len(data["image_shard"])
    datasets = header.index_layout(
        n, n_images, lengths, np.dtype(shared["precision"]).newbyteorder("<"), shared["reader"]
    )
    attributes = {name: shared[name] for name in ("reader", "release", "precision")} | attributes_of(
        shared["max_frames"], "gather-shards"
    )
    as_bytes = {name: data[name].astype(dtype).tobytes() for name, (_, dtype) in datasets.items()}

    def write_one(name: str, file: BinaryIO) -> None:
        file.write(as_bytes[name])

    with files.atomic_write(out) as tmp:
        write_file(tmp, datasets, attributes, write_one, header.INDEX_FORMAT)
        written = Store(tmp)
        if any(written.column(name).tobytes() != content for name, content in as_bytes.items()):
            raise OSError(errno.EIO, "what was read back is not what was written")
    return n_images


def _index(parts: Sequence[_Part], reader: str) -> dict[str, np.ndarray]:
    """Every dataset of the store, by name."""
    of_part, n, n_images = (
        np.arange(len(parts)),
        [len(part.ids) for part in parts],
        [len(part.image_ids) for part in parts],
    )
    utterances = np.argsort(np.concatenate([part.places for part in parts]), kind="stable")
    first = [0, *accumulate(n_images)]
    numbers = [part.columns["image_index"] for part in parts]
    shown = np.concatenate(
        [np.where(number < 0, -1, number + start) for number, start in zip(numbers, first, strict=False)]
    )[utterances]
    found, first_shown = np.unique(shown[shown >= 0], return_index=True)
    images = found[np.argsort(first_shown)]  # in the order of the utterances that show them
    number_of = np.full(first[-1] + 1, -1)  # the last for those without an image
    number_of[images] = np.arange(len(images))

    def joined(name: str, chosen: np.ndarray) -> np.ndarray:
        together: np.ndarray = np.concatenate([part.columns[name] for part in parts])[chosen]
        return together

    data = {
        "image_index": number_of[shown],
        "n_samples": joined("n_samples", utterances),
        "shard": np.repeat(of_part, n)[utterances],
        "image_shard": np.repeat(of_part, n_images)[images],
        "shards": np.frombuffer(shards_to_bytes([part.pointer for part in parts]), np.uint8),
    }
    if reader == "release_2020":
        data["source_row"] = joined("source_row", utterances)
    for name in header.RAGGED:
        chosen = utterances if name in header.BY_UTTERANCE else images
        data[f"{name}_offsets"] = np.concatenate([[0], np.cumsum(joined(f"{name}_sizes", chosen))])
        if name in header.WITH_CRC32:
            data[f"{name}_crc32"] = joined(f"{name}_crc32", chosen)
        if name in header.pointed_to(reader):
            data[f"{name}_at"] = joined(f"{name}_at", chosen)
    for name, texts, chosen in (
        ("ids", [text for part in parts for text in part.ids], utterances),
        ("image_ids", [text for part in parts for text in part.image_ids], images),
    ):
        data[name] = np.frombuffer("".join(texts[number] for number in chosen.tolist()).encode(), np.uint8)
    return data
