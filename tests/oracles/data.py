"""Slow, obvious twins of the data room, and files to try it with."""

from __future__ import annotations

import io
import json
import zlib
from itertools import pairwise

import h5py
import librosa
import numpy as np
import soundfile
from PIL import Image

from resdavenet_vq.config import ImageModel, Preparation
from resdavenet_vq.corpus.manifest import Interval, Manifest, Utterance
from resdavenet_vq.data import dataset, features, preparation
from resdavenet_vq.data import noise as noisy
from resdavenet_vq.data.audio import read_wav
from resdavenet_vq.data.store import Store


def log_mel(samples):
    """(T, 40): the definition, a frame and a bin at a time, in double precision."""
    y = np.asarray(samples, np.float64)
    y = y - y.mean()
    y = np.array([y[0]] + [y[t] - 0.97 * y[t - 1] for t in range(1, len(y))])
    window = [0.54 - 0.46 * np.cos(2 * np.pi * k / 399) for k in range(400)]
    angles = 2 * np.pi * np.outer(np.arange(201), np.arange(400)) / 400

    def sample(t):  # reflected at the ends as often as needed
        period = 2 * (len(y) - 1)
        t = t % period if period else 0
        return y[t if t < len(y) else period - t]

    power = []
    for f in range(1 + len(y) // 160):
        frame = np.array([sample(160 * f - 200 + k) * window[k] for k in range(400)])
        power.append((np.cos(angles) @ frame) ** 2 + (np.sin(angles) @ frame) ** 2)
    mel = np.array(power) @ librosa.filters.mel(sr=16000, n_fft=400, n_mels=40, fmin=20, fmax=8000).T
    return np.maximum(10 * np.log10(np.maximum(mel, 1e-10) / max(mel.max(), 1e-10)), -80)


def store_content(path):
    """Everything in a store, by nothing but h5py: {utterance id: (manifest row, logmel, image bytes or None)}."""
    with h5py.File(path) as f:

        def items(name):
            ends = f[f"{name}_offsets"][()]
            return [f[name][a:b] for a, b in pairwise(ends)]

        images = items("image")
        return {
            i.tobytes().decode(): (json.loads(row.tobytes()), logmel, None if number < 0 else images[number].tobytes())
            for i, row, logmel, number in zip(
                items("ids"), items("manifest"), items("logmel"), f["image_index"][()], strict=True
            )
        }


def make_manifest(folder, n=12, captions=2, seed=0, seconds=0.3, size=40):
    """Noise of several lengths; every image has several captions, and every fifth utterance none."""
    random = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    utterances = []
    for i in range(n):
        wav, image = folder / f"{i}.wav", folder / f"{i // captions}.jpg"
        soundfile.write(wav, 0.1 * random.normal(size=int(16000 * seconds) + 700 * (i % 7)), 16000)
        if i % captions == 0:
            Image.fromarray(random.integers(0, 256, (size + 3 * i % 20, size + 5 * i % 30, 3), np.uint8)).save(image)
        shown = None if i % 5 == 4 else image
        words = (Interval(0.0, 0.1, "WÖRD"), Interval(0.1, 0.25, str(i))) if i % 2 else None
        utterances.append(
            Utterance(f"utt-{i}", wav, shown, shown and shown.name, f"speaker{i % 3}", f"text {i}", words, None)
        )
    return Manifest(utterances, [], {"no alignment": n // 2})


def utterance(name, wav="u.wav", image=None, image_id=None, words=None):
    return Utterance(name, wav, image, image_id or (image and image.name), None, None, words, None)


def prepared(manifest, folder, name="a", *, workers=1, release=None, added=None, **settings):
    """The store `folder/name.h5` of a manifest, perhaps with noise; its report is `folder/name.json`."""
    out, report, settings = folder / f"{name}.h5", folder / f"{name}.json", Preparation(**settings)
    if added:
        noisy.prepare(manifest, settings, added, out, report, workers)
    else:
        preparation.prepare(manifest, settings, out, report, workers, release)
    return Store(out)


def noise(width, height, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def encoded(image, kind="JPEG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png_header(width, height):
    """A PNG that only claims its size."""
    data = bytearray(encoded(Image.new("1", (8, 8)), "PNG"))
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


def repeated_scans(image, n, **options):
    """A progressive JPEG with n scans, the last again and again."""
    data = encoded(image, progressive=True, **options)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * (n + 1 - data.count(b"\xff\xda")) + data[-2:]


def write_release(folder, utterances):
    """The 2020 release's files of utterances whose media are there; returns the JSON file that names the other two."""
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / "audio.h5", "w") as audio, h5py.File(folder / "image.h5", "w") as pictures:
        melspec = audio.create_dataset("melspec", (len(utterances), 40, 2048), "f4")
        lengths = audio.create_dataset("melspec_len", (len(utterances),), "i8")
        image = pictures.create_dataset("image", (len(utterances),), h5py.special_dtype(vlen=np.uint8))
        for row, utterance in enumerate(utterances):
            logmel = features.log_mel(read_wav(utterance.wav))[:2048]
            melspec[row, :, : len(logmel)], lengths[row] = logmel.T, len(logmel)
            if utterance.image:
                image[row] = np.frombuffer(utterance.image.read_bytes(), np.uint8)
    (folder / "split.json").write_text(
        json.dumps({"audio_hdf5_path": "audio.h5", "image_hdf5_path": str(folder / "image.h5")})
    )
    return folder / "split.json"


IMAGE = ImageModel(architecture="thin_resnet", crop=24, resize=32)


def all_batches(store, workers=0):
    """Everything that training, validation and encoding get of a store."""
    options = {"batch_size": 8, "pad_to": "batch", "pad_value": 0.0, "seed": 1, "epoch": 1, "last_epoch": 2}
    yield from dataset.training_batches(store, IMAGE, **options, workers=workers)
    yield from dataset.evaluation_images(store, IMAGE, 3, workers)
    yield from dataset.equal_length_batches(store, 100)


def assert_same_batches(some, others):
    for one, other in zip(some, others, strict=True):
        for x, y in zip(one, other, strict=True):
            assert x.dtype == y.dtype
            np.testing.assert_array_equal(x, y)


def assert_same_store(one, other):
    """Two stores read the same, bit for bit."""
    assert (one.ids, one.image_ids, one.precision) == (other.ids, other.image_ids, other.precision)
    for name in ("image_index", "n_frames", "n_samples"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for i in range(len(one)):
        assert one.logmel(i).dtype == other.logmel(i).dtype == one.precision
        assert one.logmel(i).tobytes() == other.logmel(i).tobytes()
        assert one.utterance(i) == other.utterance(i)
    for j in range(len(one.image_ids)):
        assert one.image(j) == other.image(j)
    assert one.attributes["max_frames"] == other.attributes["max_frames"]
