import json
import multiprocessing
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
import soundfile
from oracles.data import encoded, make_manifest, noise, png_header
from PIL import Image

from resdavenet_vq.config import Preparation
from resdavenet_vq.corpus.manifest import Manifest, Refusal, Utterance
from resdavenet_vq.data.preparation import prepare
from resdavenet_vq.data.store import Store, verify
from resdavenet_vq.errors import InputError

SKIP = Preparation(bad_rows="skip")


def utterance(name, wav, image=None):
    return Utterance(name, wav, image, image and image.name, None, None, None, None)


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_report_and_store(manifest, tmp_path):
    prepare(manifest, Preparation(), tmp_path / "new" / "a.h5", tmp_path / "a.report.json", workers=1)
    store = Store(tmp_path / "new" / "a.h5")
    assert json.loads((tmp_path / "a.report.json").read_text()) == {
        "utterances": 12,
        "images": len(store.image_ids),
        "frames": int(store.n_frames.sum()),
        "hours": pytest.approx(store.n_samples.sum() / 16000 / 3600, abs=1e-6),
        "refused": [],
        "cut": [],
        "counted": {"no alignment": 6},
        "noticed": {},
    }
    assert verify(store.path) == []
    assert names(tmp_path) == ["a.report.json", "new"]
    assert names(tmp_path / "new") == ["a.h5", "a.h5.sha256"]
    assert str(tmp_path) not in json.dumps(store.attributes)


def test_bytes_depend_neither_on_workers_nor_on_time_nor_on_place(manifest, store_path, tmp_path):
    expected = store_path.read_bytes(), store_path.with_name("train.report.json").read_bytes()
    for workers in (1, 2):
        prepare(manifest, Preparation(), tmp_path / f"{workers}.h5", tmp_path / f"{workers}.json", workers)
        assert ((tmp_path / f"{workers}.h5").read_bytes(), (tmp_path / f"{workers}.json").read_bytes()) == expected


@pytest.mark.parametrize(("precision", "tolerance"), [("float16", 0.04), ("float32", 0)])
def test_precision(manifest, store, tmp_path, precision, tolerance):
    prepare(manifest, Preparation(precision=precision), tmp_path / "a.h5", tmp_path / "a.json", workers=1)
    assert Store(tmp_path / "a.h5").logmel(0).dtype == precision


def test_long_utterances_are_cut_and_counted(manifest, store, tmp_path):
    prepare(manifest, Preparation(max_frames=40), tmp_path / "a.h5", tmp_path / "a.json", workers=1)
    cut = Store(tmp_path / "a.h5")
    assert json.loads((tmp_path / "a.json").read_text())["cut"] == [
        i for i, n in zip(store.ids, store.n_frames, strict=True) if n > 40
    ]
    assert cut.attributes["max_frames"] == 40
    np.testing.assert_array_equal(cut.n_frames, np.minimum(store.n_frames, 40))
    np.testing.assert_array_equal(cut.n_samples, store.n_samples)
    for i in range(len(store)):
        np.testing.assert_array_equal(cut.logmel(i), store.logmel(i)[:40])


@pytest.fixture
def bad_media(tmp_path):
    """One row for each thing that media can be; the rows to refuse with the reasons, in order."""
    folder = tmp_path / "media"
    folder.mkdir()
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 4000)
    rows, refused = [], []

    def row(name, *, wav=None, image=None, bad=None):
        """`wav` and `image`: bytes, or a function that writes the file, or False for none."""
        paths = folder / f"{name}.wav", folder / f"{name}.jpg"
        defaults = (lambda path: soundfile.write(path, sound, 16000)), encoded(noise(40, 40, len(rows)))
        for path, given, default in zip(paths, (wav, image), defaults, strict=True):
            content = default if given is None else given
            if callable(content):
                content(path)
            elif content is not False:
                path.write_bytes(content)
        if bad:
            refused.append((len(rows), name, str(paths[bad[0] == "image"]), bad[1]))
        rows.append(utterance(name, *paths))

    def audio(samples, rate=16000, **how):
        return lambda path: soundfile.write(path, samples, rate, **how)

    soundfile.write(folder / "a.wav", sound, 16000)
    whole = (folder / "a.wav").read_bytes()
    picture = encoded(noise(90, 90))
    flipped = bytearray(picture)
    flipped[len(flipped) // 2] ^= 4
    not_finite = sound.copy()
    not_finite[7] = np.nan

    row("good")
    row("empty", wav=b"", bad=("wav", "is empty (0 bytes)"))
    row(
        "header-only", wav=whole[:44], bad=("wav", "truncated, its header promises 8000 bytes of audio and 0 are there")
    )
    row("no-samples", wav=audio(sound[:0]), bad=("wav", "no samples"))
    row("short", wav=audio(sound[:100]))
    row(
        "truncated",
        wav=whole[:5000],
        bad=("wav", "truncated, its header promises 8000 bytes of audio and 4956 are there"),
    )
    row("nan", wav=audio(not_finite, subtype="FLOAT"), bad=("wav", "contains NaN or infinite samples"))
    row("8-bit", wav=audio(sound, subtype="PCM_U8"))
    row("stereo", wav=audio(np.stack([sound, -0.5 * sound], 1)))
    row("44.1k", wav=audio(sound, 44100))
    row("silent", wav=audio(0 * sound), bad=("wav", "silent, all samples are equal"))
    row("no-wav", wav=False, bad=("wav", "no such file"))
    row("html-wav", wav=b"<html>", bad=("wav", "cannot be read as audio (Format not recognised)"))
    row("cmyk", image=encoded(noise(40, 40).convert("CMYK")))
    row("grey", image=encoded(noise(40, 40).convert("L")))
    row("png", image=encoded(noise(40, 40), "PNG"))
    row("flipped", image=bytes(flipped))
    row("html", image=b"<!DOCTYPE html>", bad=("image", "is no JPEG or PNG image; it begins with b'<!DOCTYPE ht'"))
    row("empty-jpg", image=b"", bad=("image", "is empty (0 bytes)"))
    row("no-jpg", image=False, bad=("image", "no such file"))
    row("cut-jpg", image=picture[:3000], bad=("image", "cannot be decoded (image file is truncated"))
    row("bomb", image=png_header(30000, 30000), bad=("image", "has more than 89478485 pixels: a decompression bomb"))
    rows.append(utterance("bad-again", folder / "good.wav", folder / "html.jpg"))
    refused.append(
        (
            len(rows) - 1,
            "bad-again",
            str(folder / "html.jpg"),
            "is no JPEG or PNG image; it begins with b'<!DOCTYPE ht'",
        )
    )
    rows.append(utterance("both", folder / "empty.wav", folder / "html.jpg"))
    both = f"is empty (0 bytes); {folder / 'html.jpg'}: is no JPEG or PNG image; it begins with b'<!DOCTYPE ht'"
    refused.append((len(rows) - 1, "both", str(folder / "empty.wav"), both))
    rows.append(utterance("good-picture-of-a-bad-wav", folder / "good.wav", folder / "empty.jpg"))
    return Manifest(rows), refused


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_media_give_exactly_the_expected_refusals(bad_media, tmp_path, workers):
    manifest, expected = bad_media
    prepare(manifest, SKIP, tmp_path / "a.h5", tmp_path / "a.json", workers)
    report = json.loads((tmp_path / "a.json").read_text())
    found = [tuple(refusal.values()) for refusal in report["refused"]]
    for one, other in zip(found, expected, strict=True):
        if one[1] == "cut-jpg":  # how many bytes are left is the decoder's affair
            assert one[3].startswith(other[3])
        else:
            assert one == other
    store = Store(tmp_path / "a.h5")
    bad = {name for _, name, _, _ in expected}
    assert store.ids == [u.id for u in manifest.utterances if u.id not in bad]
    assert "empty.jpg" in store.image_ids, "its second row is good"
    assert "header-only.jpg" not in store.image_ids, "nobody shows it"
    assert report["images"] == len(store.image_ids) == len(set(store.image_index))


def test_stop_names_every_row_and_writes_nothing(bad_media, tmp_path):
    manifest, expected = bad_media
    manifest.refused = [Refusal(2, "", "x.wav", "not an object"), Refusal(0, "zero", "", "wav: missing")]
    with pytest.raises(InputError) as caught:
        prepare(manifest, Preparation(), tmp_path / "a.h5", tmp_path / "a.json", workers=1)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(expected) + 4
    assert lines[0] == f"{len(expected) + 2} of {len(manifest.utterances) + 2} rows cannot be used:"
    assert lines[1] == "row 0 (zero): no file: wav: missing"
    assert lines[2] == "row 2 (no id): x.wav: not an object"
    assert lines[3].startswith("row 3 (empty): "), "rows count those that the corpus refused"
    assert "preparation.bad_rows" in lines[-1]
    assert names(tmp_path) == ["media"]


def test_a_split_without_a_usable_row_is_an_error(tmp_path):
    with pytest.raises(InputError, match="has no rows"):
        prepare(Manifest(), SKIP, tmp_path / "a.h5", tmp_path / "a.json", workers=1)
    with pytest.raises(InputError, match=r"1 of 1 rows cannot be used:\nrow 0 .*no such file"):
        prepare(
            Manifest([utterance("a", tmp_path / "none.wav")]), SKIP, tmp_path / "a.h5", tmp_path / "a.json", workers=1
        )
    assert names(tmp_path) == []


def test_speech_alone(manifest, tmp_path):
    prepare(
        Manifest([utterance(u.id, u.wav) for u in manifest.utterances]),
        SKIP,
        tmp_path / "a.h5",
        tmp_path / "a.json",
        workers=1,
    )
    store = Store(tmp_path / "a.h5")
    assert store.image_ids == []
    assert (store.image_index == -1).all()
    assert verify(store.path) == []


def test_one_frame_and_one_pixel(tmp_path):
    soundfile.write(tmp_path / "a.wav", [0.1, 0.2], 16000)
    Image.new("RGB", (1, 1)).save(tmp_path / "a.jpg")
    prepare(
        Manifest([utterance("a", tmp_path / "a.wav", tmp_path / "a.jpg")]),
        SKIP,
        tmp_path / "a.h5",
        tmp_path / "a.json",
        workers=1,
    )
    assert Store(tmp_path / "a.h5").n_frames.tolist() == [1]


@pytest.mark.parametrize("fraction", [0, 0.02, 0.3, 0.7, 0.99])
def test_a_full_disk_leaves_nothing_and_what_was_there_before(manifest, store_path, tmp_path, fraction):
    limit = int(fraction * store_path.stat().st_size)
    shutil.copy(store_path, tmp_path / "a.h5")
    before = (tmp_path / "a.h5").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(InputError, match=r"a\.h5: cannot be written"):
            prepare(manifest, Preparation(), tmp_path / "a.h5", tmp_path / "a.json", workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == ["a.h5"]
    assert (tmp_path / "a.h5").read_bytes() == before


def test_a_killed_worker_is_an_error(tmp_path):
    manifest = make_manifest(tmp_path / "corpus", 200)

    def kill():
        while not (children := multiprocessing.active_children()):
            time.sleep(0.001)
        os.kill(children[0].pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(InputError, match="a worker process was killed"):
        prepare(manifest, Preparation(), tmp_path / "out" / "a.h5", tmp_path / "out" / "a.json", workers=2)
    thread.join()
    assert names(tmp_path / "out") == []


SCRIPT = """
import pickle, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from resdavenet_vq.config import Preparation
from resdavenet_vq.data.preparation import prepare
if __name__ == "__main__":
    prepare(pickle.loads(Path({manifest!r}).read_bytes()), Preparation(), Path({out!r}), Path({report!r}), workers=2)
"""


def alive(mark):
    """Processes begun with a mark in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                found.append(process.name)
        except OSError:
            continue
    return found


def test_kill_9_leaves_nothing_and_the_next_run_is_as_if_it_had_not_been(tmp_path):
    out, report, script, pickled = (
        tmp_path / "out" / "a.h5",
        tmp_path / "out" / "a.json",
        tmp_path / "script.py",
        tmp_path / "manifest.pkl",
    )
    manifest = make_manifest(tmp_path / "corpus", 150)
    pickled.write_bytes(pickle.dumps(manifest))
    script.write_text(
        SCRIPT.format(root=str(Path(__file__).parents[2]), manifest=str(pickled), out=str(out), report=str(report))
    )
    prepare(manifest, Preparation(), tmp_path / "expected.h5", tmp_path / "expected.json", workers=1)
    expected = (tmp_path / "expected.h5").read_bytes()

    out.parent.mkdir()
    for sign, wait in ((".a.h5.lock", 0.01), (".a.h5.lock", 0.4), (".a.h5.*.tmp", 0)):  # started, at work, writing
        mark = uuid.uuid4().hex
        with subprocess.Popen(
            [sys.executable, script], env=os.environ | {"MARK_OF_TEST": mark}, stderr=subprocess.DEVNULL
        ) as process:
            while not list(out.parent.glob(sign)) and process.poll() is None:
                time.sleep(0.001)
            time.sleep(wait)
            process.kill()
        if out.exists():  # it was faster than the signal
            assert out.read_bytes() == expected
            out.unlink()
        report.unlink(missing_ok=True)
        deadline = time.monotonic() + 30  # of a busy machine
        while orphans := alive(mark):
            assert time.monotonic() < deadline, orphans
            time.sleep(0.05)
    out.with_name(".a.h5.12345.tmp").write_text("of a killed run")
    report.with_name(".a.json.12345.tmp").write_text("of a killed run")
    prepare(manifest, Preparation(), out, report, workers=2)
    assert out.read_bytes() == expected
    assert names(out.parent) == ["a.h5", "a.h5.sha256", "a.json"]


def test_two_at_once(manifest, tmp_path, monkeypatch):
    out, report = tmp_path / "a.h5", tmp_path / "a.json"
    seen = []

    def second(items, *_):
        start = time.monotonic()
        with pytest.raises(InputError, match=rf"a\.h5: is being prepared by process {os.getpid()} on "):
            prepare(manifest, Preparation(), out, report, workers=1)
        seen.append(time.monotonic() - start)
        return items

    with monkeypatch.context() as patch:
        patch.setattr("resdavenet_vq.data.preparation.track", second)
        prepare(manifest, Preparation(), out, report, workers=1)
    assert seen[0] < 2
    out.with_name(".a.h5.lock").write_text("a stale lock")
    prepare(manifest, Preparation(), out, report, workers=1)
    assert names(tmp_path) == ["a.h5", "a.h5.sha256", "a.json"]
