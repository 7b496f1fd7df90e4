"""Features, the store and image crops against the 2020 release's way, side by side.

    OPENBLAS_NUM_THREADS=1 python benchmarks/preparation.py [--pairs 2000] [--rounds 9]

The baseline is that of `release_2020/prepare.py`: its arithmetic (mel basis rebuilt for
every utterance, complex64 spectrogram of double-precision transforms, padding to 2,048 frames), its
two HDF5 files of fixed-size float32 features and variable-length images, one process, nothing checked.
Both sides run in turns; ratios are of medians: of processor seconds, those of worker processes included, where one process works
at a time, and of wall time with two. Audio has the mean length of Places Audio, 8.4 s;
images are 256 pixels.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import librosa
import numpy as np
import soundfile
import torch
from measuring import measure, row, write
from PIL import Image, ImageFilter
from release_2020 import prepare as release
from torchvision import transforms

from resdavenet_vq.config import ImageModel, Preparation
from resdavenet_vq.corpus.manifest import Manifest, Utterance
from resdavenet_vq.data import features, images
from resdavenet_vq.data.audio import read_wav
from resdavenet_vq.data.preparation import prepare
from resdavenet_vq.data.store import Store

MEAN_SECONDS = 8.4


def baseline_crop() -> Callable[[bytes], object]:
    torch.set_num_threads(1)
    crop, normalise = (
        transforms.RandomResizedCrop(224),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    )
    transform = transforms.Compose([crop, transforms.ToTensor(), normalise])
    return lambda data: transform(Image.open(io.BytesIO(data)).convert("RGB"))


def make_pairs(folder: Path, n: int) -> list[Utterance]:
    random = np.random.default_rng(0)
    utterances = []
    for i in range(n):
        wav, image = folder / f"{i}.wav", folder / f"{i}.jpg"
        seconds = np.clip(random.normal(MEAN_SECONDS, 3), 1, 20)
        soundfile.write(wav, 0.1 * random.normal(size=int(16000 * seconds)), 16000)
        pixels = random.integers(0, 256, (256, 256, 3), np.uint8)
        Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(2)).save(image, quality=90)
        utterances.append(Utterance(str(i), wav, image, image.name, None, None, None, None))
    return utterances


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rows = run(Path(name), options.pairs, options.rounds)
    write("preparation", {"pairs": options.pairs, "rounds": options.rounds, "rows": rows})


def run(folder: Path, n_pairs: int, rounds: int) -> list[dict[str, Any]]:
    """The rows of the result; whole preparations and reads take a third of the rounds."""
    few_rounds = max(1, rounds // 3)
    utterances = make_pairs(folder, n_pairs)
    few = utterances[:20]
    audio = [read_wav(u.wav) for u in few]
    deviation = max(
        float(abs(release.log_mel(y)[0].T[: features.frame_count(len(y))] - features.log_mel(y)).max()) for y in audio
    )
    if deviation > 4e-4:
        raise AssertionError(f"log-mel differs from the baseline's by {deviation:.1e} dB")

    sides: dict[str, Callable[[], object]] = {
        "2020": lambda: [release.log_mel(y) for y in audio],
        "package": lambda: [features.log_mel(y) for y in audio],
    }
    results = [row("log-mel", measure(sides, rounds), greatest_difference_db=deviation)]
    sides = {
        "2020": lambda: [librosa.load(u.wav, sr=None) for u in few],
        "package": lambda: [read_wav(u.wav) for u in few],
    }
    results.append(row("wav reading", measure(sides, rounds)))

    manifest, settings = Manifest(utterances), Preparation()
    out, old_audio, old_images = folder / "store.h5", folder / "audio.h5", folder / "image.h5"
    files = [{"wav": str(u.wav), "image": str(u.image)} for u in utterances]
    for workers in (1, 2):
        sides = {
            "2020": lambda: release.prepare(files, folder, old_audio, old_images),
            "package": lambda workers=workers: prepare(manifest, settings, out, folder / "report.json", workers),
        }
        by = "cpu_seconds" if workers == 1 else "wall_seconds"
        processes = "one process" if workers == 1 else f"{workers} processes"
        results.append(row(f"preparation, {processes}", measure(sides, few_rounds), by=by, pairs=n_pairs))

    store = Store(out)
    sizes = old_audio.stat().st_size, int(store.n_frames.sum()) * features.N_MELS * 2
    saving = round(sizes[0] / sizes[1], 2)
    results.append({"what": "size of features", "bytes": {"2020": sizes[0], "package": sizes[1]}, "ratio": saving})

    order = np.random.default_rng(1).permutation(n_pairs)
    row_of = {u.id: i for i, u in enumerate(utterances)}
    with h5py.File(old_audio) as old:

        def baseline_read() -> None:
            for i in order:
                number = row_of[utterances[i].id]
                torch.FloatTensor(old["melspec"][number]), int(old["melspec_len"][number])

        def our_read() -> None:
            for i in order:  # nothing is kept on either side: fresh memory costs more than the reading
                store.logmel(store.index(utterances[i].id))

        results.append(row("random read", measure({"2020": baseline_read, "package": our_read}, few_rounds)))

    crop, image, random = baseline_crop(), ImageModel(architecture="resnet50"), np.random.default_rng(0)
    jpegs = [u.image.read_bytes() for u in few]
    sides = {
        "2020": lambda: [crop(data) for data in jpegs],
        "package": lambda: [
            np.ascontiguousarray(images.training_crop(images.decode(data), image, random)) for data in jpegs
        ],
    }
    results.append(row("JPEG to a crop", measure(sides, rounds)))
    return results


if __name__ == "__main__":
    main()
