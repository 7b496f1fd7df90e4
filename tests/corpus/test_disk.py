"""A list and a dictionary on the disk are those of Python, in memory that does not grow."""

import gc
import pickle
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from resdavenet_vq.corpus import disk, json_rows, places
from resdavenet_vq.corpus.disk import DiskDict, DiskList
from resdavenet_vq.corpus.manifest import Interval, Utterance
from resdavenet_vq.data import store_writer
from resdavenet_vq.data.store_writer import StoreWriter
from resdavenet_vq.errors import InputError


@pytest.fixture(params=[1, 100, 1 << 20])
def buffer(request, monkeypatch):
    monkeypatch.setattr(disk, "_BUFFER", request.param)


@pytest.mark.usefixtures("buffer")
def test_a_list_on_the_disk_is_a_list():
    items = [f"{i}" * (i % 7) for i in range(50)]
    on_disk = DiskList(items[:20])
    for item in items[20:]:
        on_disk.append(item)
    assert on_disk == items
    assert [*on_disk] == items
    assert len(on_disk) == 50
    assert on_disk[3] == items[3]
    assert on_disk[-1] == items[-1]
    assert on_disk[2:40:3] == items[2:40:3]
    on_disk[7] = items[7] = "another"
    assert on_disk == items
    assert on_disk != items[:-1]
    assert on_disk != [*items[:-1], "else"]
    with pytest.raises(IndexError):
        on_disk[50]


def test_an_utterance_is_the_same_after_pickling(tmp_path):
    words = (Interval(0.1, 0.25, "A"), Interval(0.25, 0.5, "CAT"))
    for tiers in ((words, None, None), (None, (), words), (None, None)):
        for image in (None, tmp_path / "a.jpg"):
            utterance = Utterance("u", tmp_path / "u.wav", image, None, None, "text", *tiers)
            copy = pickle.loads(pickle.dumps(utterance))
            assert copy == utterance
            assert copy.to_dict() == utterance.to_dict()
            assert all(isinstance(word, Interval) for word in copy.words or ())


def test_a_dictionary_on_the_disk_is_a_dictionary():
    keys = ["a", "b", "a", "", "ü\0x", "ü", "", "b"]
    on_disk, entries = DiskDict[int](), {}
    for number, key in enumerate(keys):
        assert on_disk.setdefault(key, number << 32) == entries.setdefault(key, number << 32)
    assert [on_disk.get(key) for key in [*keys, "c"]] == [entries.get(key) for key in [*keys, "c"]]


def test_a_folder_for_temporary_files_without_room_is_named(monkeypatch):
    monkeypatch.setattr(disk, "_BUFFER", 1)
    monkeypatch.setenv("TMPDIR", "/small")
    monkeypatch.setattr(disk.tempfile, "TemporaryFile", lambda **_: Path("/dev/full").open("wb", buffering=0))  # noqa: SIM115
    with pytest.raises(InputError, match=r"TMPDIR=/small: .*No space left.*; set TMPDIR to a folder with room"):
        DiskList(["a"])


def test_memory_hardly_grows_with_the_rows_of_a_corpus(tmp_path, monkeypatch):
    """Bytes of Python and NumPy a row with a text of 240: at most 100 while a list is read, 150 while a store is written.

    12 are needed to find a row. Python 3.12 keeps every part of a path for ever that pathlib has seen, here the ids.
    """
    monkeypatch.setattr(disk, "_BUFFER", 1000)
    monkeypatch.setattr(json_rows, "_CHUNK", 1000)
    monkeypatch.setattr(store_writer, "_BLOCK", 1000)
    text = "a long text " * 20

    def peaks(n):
        rows = (f'{{"uttid": "{i:06}", "wav": "a.wav", "text": "{text}"}}' for i in range(n))
        (tmp_path / "rows.jsonl").write_text("\n".join(rows))
        gc.collect()
        tracemalloc.start()
        manifest = places.read(tmp_path / "rows.jsonl")
        read = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        with StoreWriter(tmp_path, "float16") as writer:
            for utterance in manifest.utterances:
                writer.add_image(f"{utterance.id}.jpg", b"image")
                writer.add(replace(utterance, image_id=f"{utterance.id}.jpg"), np.zeros((1, 40)), 160)
            writer._write(tmp_path / "rows.h5", {"reader": "store", "features": {}})
        written = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return np.array([read, written])

    peaks(100)  # what is imported and remembered once
    read, written = (peaks(1200) - peaks(200)) / 1000
    assert 12 <= read < 100
    assert 8 <= written < 150
