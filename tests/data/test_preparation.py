import io
import json
import multiprocessing
import os
import pickle
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
import soundfile
from data.hostile import Hostile
from oracles.data import (
    assert_same_store,
    encoded,
    make_manifest,
    noise,
    png_header,
    prepared,
    repeated_scans,
    utterance,
)
from PIL import ExifTags, Image

from resdavenet_vq.config import Preparation
from resdavenet_vq.corpus.manifest import Manifest, Refusal
from resdavenet_vq.data import images
from resdavenet_vq.data.preparation import prepare_from
from resdavenet_vq.data.store import Store, verify
from resdavenet_vq.errors import InputError


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_report_and_store(manifest, tmp_path):
    store = prepared(manifest, tmp_path / "new")
    assert json.loads((tmp_path / "new/a.json").read_text()) == {
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
    assert names(tmp_path / "new") == ["a.h5", "a.h5.sha256", "a.json"]
    assert str(tmp_path) not in json.dumps(store.attributes)


def test_bytes_depend_neither_on_workers_nor_on_time_nor_on_place(manifest, store_path, tmp_path):
    for workers in (1, 2):
        path = prepared(manifest, tmp_path, str(workers), workers=workers).path
        for suffix in (".h5", ".json"):
            assert path.with_suffix(suffix).read_bytes() == store_path.with_suffix(suffix).read_bytes()


@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_precision(manifest, tmp_path, precision):
    assert prepared(manifest, tmp_path, precision=precision).logmel(0).dtype == precision


def test_long_utterances_are_cut_and_counted(manifest, store, tmp_path):
    cut = prepared(manifest, tmp_path, max_frames=40)
    assert json.loads((tmp_path / "a.json").read_text())["cut"] == [
        i for i, n in zip(store.ids, store.n_frames, strict=True) if n > 40
    ]
    assert cut.attributes["max_frames"] == 40
    np.testing.assert_array_equal(cut.n_frames, np.minimum(store.n_frames, 40))
    np.testing.assert_array_equal(cut.n_samples, store.n_samples)
    for i in range(len(store)):
        np.testing.assert_array_equal(cut.logmel(i), store.logmel(i)[:40])


def test_larger_images_are_stored_at_their_size_where_one_is_set(manifest, store, tmp_path):
    reduced = prepared(manifest, tmp_path, image_size=45, workers=2)
    assert reduced.image_ids == store.image_ids
    sizes = [images.decode(store.image(i)).size for i in range(len(store.image_ids))]
    assert min(map(min, sizes)) <= 45 < max(map(min, sizes)), "the corpus has larger and smaller images"
    for number, size in enumerate(sizes):
        if min(size) <= 45:
            assert reduced.image(number) == store.image(number)
        else:
            assert reduced.image(number) == images.reduced(store.image(number), 45)
    for i in range(len(store)):
        np.testing.assert_array_equal(reduced.logmel(i), store.logmel(i))
    assert reduced.attributes["image_size"] == 45
    assert "image_size" not in json.dumps(store.attributes)
    assert reduced.sha256 != store.sha256
    assert verify(reduced.path) == []


@pytest.mark.parametrize("reader", ["files", "release_2020"])
def test_only_stores_have_smaller_images(reader):
    with pytest.raises(ValueError, match=rf"preparation.image_size: reader {reader} reads images as they are"):
        Preparation(reader=reader, image_size=256)


def test_commands_and_workers_load_only_what_they_need():
    """The command computes no features, and its workers read no configuration: half the time of a small preparation."""

    def loaded(module):
        text = f"import sys, {module}; print(*sys.modules)"
        return set(
            subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout.split()
        )

    assert not {"scipy.fft", "scipy.sparse"} & loaded("resdavenet_vq.data.preparation")
    of_worker = loaded("resdavenet_vq.data.conversion")
    assert not {"pydantic", "resdavenet_vq.config", "resdavenet_vq.corpus"} & of_worker


def hour_of_silence(channels):
    """The bytes of a FLAC file: a second, repeated by its own frames."""
    with io.BytesIO() as out:
        with soundfile.SoundFile(out, "w", 16000, channels, format="FLAC") as sound:
            for _ in range(2):
                sound.write(np.zeros((16000, channels), np.int16))
        data = bytearray(out.getvalue())
    data[21] &= 0xF0  # the number of samples has 36 bits
    data[22:26] = (3600 * 16000).to_bytes(4, "big")
    return bytes(data)


def make_socket(path):
    """Names of sockets are short."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, socket.socket(socket.AF_UNIX) as end:
        end.bind(f"{folder}/s")
        Path(f"{folder}/s").rename(path)


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

    promised = "truncated, its header promises 8000 bytes of audio and {} are there"
    html = "is not an image but a web page (HTML), as a download leaves that failed; download it again"
    row("good")
    row("empty", wav=b"", bad=("wav", "is empty (0 bytes)"))
    row("header-only", wav=whole[:44], bad=("wav", promised.format(0)))
    row("no-samples", wav=audio(sound[:0]), bad=("wav", "no samples"))
    row("short", wav=audio(sound[:100]))
    row("truncated", wav=whole[:5000], bad=("wav", promised.format(4956)))
    row("nan", wav=audio(not_finite, subtype="FLOAT"), bad=("wav", "contains NaN or infinite samples"))
    row("8-bit", wav=audio(sound, subtype="PCM_U8"))
    row("stereo", wav=audio(np.stack([sound, -0.5 * sound], 1)))
    row("44.1k", wav=audio(sound, 44100))
    row("silent", wav=audio(0 * sound), bad=("wav", "silent, all samples are equal"))
    row("no-wav", wav=False, bad=("wav", "no such file"))
    page = "is not audio but a web page (HTML), as a download leaves that failed; download it again"
    row("html-wav", wav=b"<html>", bad=("wav", page))
    row("cmyk", image=encoded(noise(40, 40).convert("CMYK")))
    row("grey", image=encoded(noise(40, 40).convert("L")))
    row("png", image=encoded(noise(40, 40), "PNG"))
    row("flipped", image=bytes(flipped))
    row("html", image=b"<!DOCTYPE html>", bad=("image", html))
    row("empty-jpg", image=b"", bad=("image", "is empty (0 bytes)"))
    row("no-jpg", image=False, bad=("image", "no such file"))
    row("cut-jpg", image=picture[:3000], bad=("image", "cannot be decoded (image file is truncated"))
    huge = sound.astype(np.float32)
    huge[9] = 4.5e37  # one bit of a small sample's exponent
    level = "contains a sample of 4.5e+37, which is no level of audio (full scale is 1)"
    row("exponent", wav=audio(huge, subtype="FLOAT"), bad=("wav", level))
    row(
        "level",
        wav=audio(2.0**34 * sound, subtype="FLOAT"),
        bad=("wav", "contains a sample of 8.6e+09, which is no level of audio (full scale is 1)"),
    )
    row("integers-as-floats", wav=audio(2.0**31 * sound, subtype="FLOAT"))
    row(
        "channels",
        wav=hour_of_silence(8),
        bad=(
            "wav",
            "declares 57600000 samples in 8 channels at 16000 Hz, more than the 43200000 that are read; cut it into pieces",
        ),
    )
    row("pipe", wav=os.mkfifo, bad=("wav", "is no regular file"))
    row("socket", wav=make_socket, bad=("wav", "is no regular file"))
    row("folder", wav=Path.mkdir, bad=("wav", "is no regular file"))
    row("device", wav=lambda path: path.symlink_to("/dev/zero"), bad=("wav", "is no regular file"))
    row("pipe-jpg", image=os.mkfifo, bad=("image", "is no regular file"))
    row("device-jpg", image=lambda path: path.symlink_to("/dev/zero"), bad=("image", "is no regular file"))

    def scans(n):
        return repeated_scans(Image.new("RGB", (64, 64), (10, 200, 30)), n)

    row("scans", image=scans(2000), bad=("image", "has 2000 scans, more than 100: a decompression bomb"))
    row("some-scans", image=scans(100))
    row("bomb", image=png_header(30000, 30000), bad=("image", "has more than 89478485 pixels: a decompression bomb"))
    jpg = folder / "html.jpg"
    refused.append((len(rows), "bad-again", str(jpg), html))
    rows.append(utterance("bad-again", folder / "good.wav", jpg))
    refused.append((len(rows), "both", str(folder / "empty.wav"), f"is empty (0 bytes); {jpg}: {html}"))
    rows.append(utterance("both", folder / "empty.wav", jpg))
    rows.append(utterance("good-picture-of-a-bad-wav", folder / "good.wav", folder / "empty.jpg"))
    return Manifest(rows), refused


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_media_give_exactly_the_expected_refusals(bad_media, tmp_path, workers):
    manifest, expected = bad_media
    store = prepared(manifest, tmp_path, workers=workers, bad_rows="skip")
    report = json.loads((tmp_path / "a.json").read_text())
    for refusal, other in zip(report["refused"], expected, strict=True):
        one = tuple(refusal.values())
        if one[1] == "cut-jpg":  # how many bytes are left is the decoder's affair
            assert one[3].startswith(other[3])
        else:
            assert one == other
    bad = {name for _, name, _, _ in expected}
    assert store.ids == [u.id for u in manifest.utterances if u.id not in bad]
    assert "empty.jpg" in store.image_ids, "its second row is good"
    assert "header-only.jpg" not in store.image_ids, "nobody shows it"
    assert report["images"] == len(store.image_ids) == len(set(store.image_index))


def test_stop_names_every_row_and_writes_nothing(bad_media, tmp_path, capsys):
    manifest, expected = bad_media
    manifest.refused = [Refusal(2, "", "x.wav", "not an object"), Refusal(0, "zero", "", "wav: missing")]
    with pytest.raises(InputError) as caught:
        prepared(manifest, tmp_path)
    lines = str(caught.value).splitlines()
    assert len(expected) > 20
    assert len(lines) == 24, "20 rows, and what stands around them"
    assert lines[0] == f"{len(expected) + 2} of {len(manifest.utterances) + 2} rows cannot be used:"
    assert lines[1] == "row 0 (zero): no file: wav: missing"
    assert lines[2] == "row 2 (no id): x.wav: not an object"
    assert lines[3].startswith("row 3 (empty): "), "rows count those that the corpus refused"
    assert lines[-3] == f"... and {len(expected) + 2 - 20} more"
    assert "preparation.bad_rows" in lines[-2]
    assert lines[-1] == f"All of them are in {tmp_path / 'a.refused.json'}."
    rows = json.loads((tmp_path / "a.refused.json").read_text())
    assert [row["row"] for row in rows] == sorted([0, 2, *(row + 1 + (row > 0) for row, *_ in expected)])
    assert names(tmp_path) == ["a.refused.json", "media"]
    prepared(manifest, tmp_path, bad_rows="skip")
    assert not (tmp_path / "a.refused.json").exists()
    left_out = f"{len(expected) + 2} of {len(manifest.utterances) + 2} rows left out, which {tmp_path / 'a.json'} lists"
    assert left_out in capsys.readouterr().err


def test_a_split_without_a_usable_row_is_an_error(tmp_path):
    with pytest.raises(InputError, match="has no rows"):
        prepared(Manifest(), tmp_path, bad_rows="skip")
    with pytest.raises(InputError, match=r"1 of 1 rows cannot be used:\nrow 0 .*no such file"):
        prepared(Manifest([utterance("a", tmp_path / "none.wav")]), tmp_path, bad_rows="skip")
    assert names(tmp_path) == ["a.refused.json"]


def test_the_common_fault_of_all_rows_comes_first(tmp_path):
    (tmp_path / "there").mkdir()
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(4000), 16000)
        soundfile.write(tmp_path / f"{name}-good.wav", np.sin(np.arange(4000)), 16000)
        (tmp_path / f"{name}.gif").write_bytes(encoded(noise(9, 9), "GIF"))
    for wav, image, message in (
        (
            "gone/deeper/{}.wav",
            None,
            f"No file at all lies below {tmp_path}/gone/deeper: there is no folder {tmp_path}/gone;",
        ),
        ("there/{}.wav", None, f"No file at all is where it should be below {tmp_path}/there:"),
        ("{}-good.wav", "images/{}.jpg", f"No file at all lies below {tmp_path}/images:"),
        ("{}.wav", None, "All 2 have one fault: silent."),
        ("{}-good.wav", "{}.gif", "All 2 have one fault: is a GIF image."),
    ):
        rows = [utterance(n, tmp_path / wav.format(n), image and tmp_path / image.format(n)) for n in "ab"]
        for bad_rows in ("stop", "skip"):
            with pytest.raises(InputError) as caught:
                prepared(Manifest(rows), tmp_path, bad_rows=bad_rows)
            assert str(caught.value).startswith(message)
            if "No file" in message:
                first = (tmp_path / (image or wav).format("a")).as_posix()
                assert str(caught.value).splitlines()[0].endswith(f" The first is {first}.")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_row_that_its_process_does_not_survive_is_one_refused_row(manifest, store, tmp_path, monkeypatch, workers):
    monkeypatch.setattr("resdavenet_vq.data.workers.TASK_SECONDS", 0.5)
    names = {1: "killed", 3: "endless", 4: "memory", 8: "crashed", 12: "ended"}
    rows = [*manifest.utterances]
    for row, name in names.items():
        rows.insert(row, utterance(name, tmp_path / f"{name}.wav"))
    settings = Preparation(bad_rows="skip")
    out, report, source = tmp_path / "a.h5", tmp_path / "a.json", Hostile("float16", settings.max_frames)
    prepare_from(source, Manifest(rows, [], manifest.counted), settings, out, report, workers, "a test")
    assert_same_store(Store(out), store)
    assert [tuple(refusal.values())[::3] for refusal in json.loads(report.read_text())["refused"]] == [
        (1, "reading the row's audio and image was killed (signal 9), perhaps for lack of memory"),
        (3, "reading the row's audio and image took longer than 0.5 s"),
        (4, "reading the row's audio and image needs more memory than there is"),
        (8, "reading the row's audio and image was killed (signal 11)"),
        (12, "reading the row's audio and image ended with status 3"),
    ]


def test_media_that_declare_too_much_take_no_memory(tmp_path):
    """Each is refused by a process of its own that may have 300 MB more than Python and the libraries."""
    forged = {}
    whole = hour_of_silence(1)
    forged["length.flac"] = whole[:21] + bytes([whole[21] | 0x0F]) + b"\xff" * 4 + whole[26:]
    forged["channels.flac"] = hour_of_silence(8)
    forged["rate.wav"] = (
        b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 1 << 31, 2, 2, 16) + b"data" + 8 * b"\1"
    )
    forged["rf64.wav"] = b"RF64\xff\xff\xff\xffWAVEds64" + struct.pack("<IQQQI", 28, 1 << 42, 1 << 41, 1 << 40, 0)
    forged["rf64.wav"] += (
        b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16) + b"data\xff\xff\xff\xff" + bytes(100)
    )
    forged["a.au"] = b".snd" + struct.pack(">IIIII", 24, 0xFFFFFFF0, 3, 16000, 1) + bytes(100)
    for name in ("a.w64", "a.ogg", "a.aiff"):
        soundfile.write(tmp_path / name, np.sin(np.arange(16000)), 16000)
        data = bytearray((tmp_path / name).read_bytes())
        match name:
            case "a.w64":
                at = data.rindex(b"data") + 16
                data[at : at + 8] = (1 << 41).to_bytes(8, "little")
            case "a.aiff":
                at = data.rindex(b"SSND") + 4
                data[at : at + 4] = (3 << 29).to_bytes(4, "big")
            case "a.ogg":
                at = data.rindex(b"OggS") + 6
                data[at : at + 8] = (1 << 40).to_bytes(8, "little")
        forged[name] = bytes(data)
    for name, data in forged.items():
        (tmp_path / name).write_bytes(data)
    code = (
        "import sys; from pathlib import Path; from data.hostile import most_memory\n"
        "from resdavenet_vq.data.audio import read_wav; from resdavenet_vq.data.recording import Recording; from resdavenet_vq.errors import InputError\n"
        "before = most_memory()\n"
        "for path in sys.argv[1:]:\n"
        "    for read in (read_wav, Recording):\n"
        "        try: read(Path(path))\n"
        "        except InputError as e: print(e)\n"
        "assert most_memory() - before < 300_000_000"
    )
    paths = [tmp_path / name for name in forged]
    tests = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": f"{tests.parent}:{tests}"}
    done = subprocess.run(
        [sys.executable, "-c", code, *paths], env=environment, check=True, capture_output=True, text=True
    )
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [str(path) for path in paths for _ in range(2)]


def test_one_frame_and_one_pixel(tmp_path):
    soundfile.write(tmp_path / "a.wav", [0.1, 0.2], 16000)
    Image.new("RGB", (1, 1)).save(tmp_path / "a.jpg")
    rows = [utterance("a", tmp_path / "a.wav", tmp_path / "a.jpg")]
    assert prepared(Manifest(rows), tmp_path).n_frames.tolist() == [1]


@pytest.mark.parametrize("fraction", [0, 0.02, 0.3, 0.7, 0.99])
def test_a_full_disk_leaves_nothing_and_what_was_there_before(manifest, store_path, tmp_path, fraction):
    limit = int(fraction * store_path.stat().st_size)
    shutil.copy(store_path, tmp_path / "a.h5")
    before = (tmp_path / "a.h5").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(InputError, match=r"a\.h5: cannot be written"):
            prepared(manifest, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == ["a.h5"]
    assert (tmp_path / "a.h5").read_bytes() == before


def test_a_worker_that_someone_kills_costs_no_row(tmp_path):
    manifest = make_manifest(tmp_path / "corpus", 200)

    def kill():
        while not (children := multiprocessing.active_children()):
            time.sleep(0.001)
        os.kill(children[0].pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    killed = prepared(manifest, tmp_path / "out", workers=2)
    thread.join()
    assert_same_store(killed, prepared(manifest, tmp_path / "again"))


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
    out, report, pickled = (tmp_path / name for name in ("out/a.h5", "out/a.json", "rows.pkl"))
    manifest = make_manifest(tmp_path / "corpus", 150)
    pickled.write_bytes(pickle.dumps(manifest))
    code = (
        "import pickle, sys; from pathlib import Path; from resdavenet_vq.config import Preparation\n"
        "from resdavenet_vq.data.preparation import prepare; rows, out, report = map(Path, sys.argv[1:])\n"
        "prepare(pickle.loads(rows.read_bytes()), Preparation(), out, report, workers=2)"
    )
    command = [sys.executable, "-c", code, pickled, out, report]
    expected = prepared(manifest, tmp_path, "expected").path.read_bytes()

    out.parent.mkdir()
    for sign, wait in ((".a.h5.lock", 0.01), (".a.h5.lock", 0.4), (".a.h5.*.tmp", 0)):  # started, at work, writing
        mark = uuid.uuid4().hex
        env = os.environ | {"MARK_OF_TEST": mark, "PYTHONPATH": str(Path(__file__).parents[2])}
        with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL) as process:
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
    prepared(manifest, out.parent, workers=2)
    assert out.read_bytes() == expected
    assert names(out.parent) == ["a.h5", "a.h5.sha256", "a.json"]


def test_an_image_that_its_exif_data_would_turn_is_counted_by_name(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 8000), 16000)
    rows = []
    for name, how in (("upright", {}), ("turned", {"exif": exif})):
        (tmp_path / f"{name}.jpg").write_bytes(encoded(noise(40, 30), **how))
        rows.append(utterance(name, tmp_path / "a.wav", tmp_path / f"{name}.jpg"))
    prepared(Manifest(rows), tmp_path / "out")
    report = json.loads((tmp_path / "out/a.json").read_text())
    what = "image that its Exif data would turn"
    assert (report["counted"], report["noticed"], report["refused"]) == ({what: 1}, {what: ["turned"]}, [])


def test_two_at_once(manifest, tmp_path, monkeypatch):
    message = rf"a\.h5: is being prepared by process {os.getpid()} on "

    def second(rows, *_):
        with pytest.raises(InputError, match=message):
            prepared(manifest, tmp_path)
        return rows

    with monkeypatch.context() as patch:
        patch.setattr("resdavenet_vq.data.preparation.track", second)
        prepared(manifest, tmp_path)
    (tmp_path / ".a.h5.lock").write_text("a stale lock")
    prepared(manifest, tmp_path)
    assert names(tmp_path) == ["a.h5", "a.h5.sha256", "a.json"]
