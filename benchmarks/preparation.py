"""Features, the store and image crops against the 2020 release's way, side by side.

    OPENBLAS_NUM_THREADS=1 python benchmarks/preparation.py [--pairs 400] [--rounds 9]

The baseline is written from a description of the release: its arithmetic (mel basis rebuilt for
every utterance, complex64 spectrogram of double-precision transforms, padding to 2,048 frames), its
two HDF5 files of fixed-size float32 features and variable-length images, one process, nothing checked.
Both sides run in turns; ratios are of medians: of CPU time, that of worker processes included, where one process works
at a time, so that other programs do not disturb, and of wall time otherwise. Both times of each are beside. Audio has the mean length of Places Audio, 8.4 s;
images are 256 pixels.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import soundfile
from PIL import Image, ImageFilter

from resdavenet_vq.config import ImageModel, Preparation
from resdavenet_vq.corpus.manifest import Manifest, Utterance
from resdavenet_vq.data import features, images
from resdavenet_vq.data.audio import read_wav
from resdavenet_vq.data.preparation import prepare
from resdavenet_vq.data.store import Store

RESULTS = Path(__file__).parent / "results" / "preparation.json"
MEAN_SECONDS = 8.4


def baseline_log_mel(samples: np.ndarray) -> tuple[np.ndarray, int]:
    import librosa

    y = samples - samples.mean()
    y = np.append(y[0], y[1:] - 0.97 * y[:-1])
    padded = np.pad(y, 200, mode="reflect")
    n_frames = 1 + len(y) // 160
    frames = np.lib.stride_tricks.as_strided(padded, (400, n_frames), (padded.itemsize, 160 * padded.itemsize))
    spectrum = np.empty((201, n_frames), np.complex64, order="F")
    window = np.hamming(400)[:, None]
    for start in range(0, n_frames, 80):
        spectrum[:, start : start + 80] = np.fft.rfft(window * frames[:, start : start + 80], axis=0)
    mel = librosa.filters.mel(sr=16000, n_fft=400, n_mels=40, fmin=20) @ np.abs(spectrum) ** 2
    decibels = 10 * np.log10(np.maximum(1e-10, mel)) - 10 * np.log10(np.maximum(1e-10, mel.max()))
    decibels = np.maximum(decibels, decibels.max() - 80)
    return np.pad(decibels, ((0, 0), (0, max(0, 2048 - n_frames))))[:, :2048], min(n_frames, 2048)


def baseline_prepare(utterances: list[Utterance], audio_path: Path, image_path: Path) -> None:
    import librosa

    with h5py.File(audio_path, "w") as audio, h5py.File(image_path, "w") as pictures:
        melspec = audio.create_dataset("melspec", (len(utterances), 40, 2048), "f4")
        lengths = audio.create_dataset("melspec_len", (len(utterances),), "i8")
        image = pictures.create_dataset("image", (len(utterances),), h5py.special_dtype(vlen=np.uint8))
        for i, utterance in enumerate(utterances):
            samples, _ = librosa.load(utterance.wav, sr=None)
            melspec[i], lengths[i] = baseline_log_mel(samples)
            image[i] = np.frombuffer(utterance.image.read_bytes(), np.uint8)


def baseline_crop() -> Callable[[bytes], object]:
    import torch
    from torchvision import transforms

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


def cpu_time() -> float:
    """Seconds of this process and of all workers that have ended.

    Those of a server of workers are its own children: they are only in its own account until it ends, too.
    """
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    ticks = 0
    for process in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = process.read_text().rpartition(")")[2].split()
            if int(fields[1]) == os.getpid():
                ticks += sum(map(int, fields[11:15]))
    return sum(usage.ru_utime + usage.ru_stime for usage in used) + ticks / os.sysconf("SC_CLK_TCK")


def compare(
    name: str,
    baseline: Callable[[], object],
    ours: Callable[[], object],
    rounds: int,
    clock: Callable[[], float] = cpu_time,
) -> dict[str, object]:
    times: dict[str, list[float]] = {"baseline": [], "ours": []}
    both: dict[str, list[float]] = {}
    for _ in range(rounds):
        for side, work in (("baseline", baseline), ("ours", ours)):
            before = cpu_time(), time.perf_counter()
            work()
            cpu, wall = (after - start for after, start in zip((cpu_time(), time.perf_counter()), before, strict=True))
            times[side].append(cpu if clock is cpu_time else wall)
            both.setdefault(f"{side}_cpu_s", []).append(cpu)
            both.setdefault(f"{side}_wall_s", []).append(wall)
    medians = {side: statistics.median(values) for side, values in times.items()}
    ratio = medians["baseline"] / medians["ours"]
    print(f"{name:46} {1e3 * medians['baseline']:10.1f} ms {1e3 * medians['ours']:10.1f} ms {ratio:8.1f} x", flush=True)
    return {
        "what": name,
        "baseline_s": medians["baseline"],
        "ours_s": medians["ours"],
        "ratio": round(ratio, 2),
        "time": "CPU" if clock is cpu_time else "wall",
        **{name: statistics.median(values) for name, values in both.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rows = run(Path(name), options.pairs, options.rounds)
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    conditions = {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "pairs": options.pairs,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({**conditions, "rounds": options.rounds, "results": rows}, indent=1) + "\n")


def run(folder: Path, n_pairs: int, rounds: int) -> list[dict[str, object]]:
    import librosa
    import torch

    utterances = make_pairs(folder, n_pairs)
    few = utterances[:20]
    audio = [read_wav(u.wav) for u in few]
    deviation = max(
        float(abs(baseline_log_mel(y)[0].T[: features.frame_count(len(y))] - features.log_mel(y)).max()) for y in audio
    )
    print(f"log-mel differs from the baseline's by at most {deviation:.1e} dB")
    results: list[dict[str, object]] = [{"what": "log-mel, greatest difference", "dB": deviation}]

    results.append(
        compare(
            "log-mel, one core",
            lambda: [baseline_log_mel(y) for y in audio],
            lambda: [features.log_mel(y) for y in audio],
            rounds,
        )
    )
    results.append(
        compare(
            "wav reading",
            lambda: [librosa.load(u.wav, sr=None) for u in few],
            lambda: [read_wav(u.wav) for u in few],
            rounds,
        )
    )

    manifest, settings = Manifest(utterances), Preparation()
    out, old_audio, old_images = folder / "store.h5", folder / "audio.h5", folder / "image.h5"
    for workers, clock in ((1, cpu_time), (2, time.perf_counter)):
        row = compare(
            f"whole preparation of {n_pairs} pairs, {workers} processes",
            lambda: baseline_prepare(utterances, old_audio, old_images),
            lambda workers=workers: prepare(manifest, settings, out, folder / "report.json", workers),
            max(1, rounds // 3),
            clock,
        )
        results += [row]

    store = Store(out)
    sizes = old_audio.stat().st_size, int(store.n_frames.sum()) * features.N_MELS * 2
    print(
        f"{'prepared size, features':46} {sizes[0] / 1e6:10.1f} MB {sizes[1] / 1e6:10.1f} MB {sizes[0] / sizes[1]:8.1f} x"
    )
    results.append(
        {
            "what": "prepared size, features",
            "baseline_bytes": sizes[0],
            "ours_bytes": sizes[1],
            "ratio": round(sizes[0] / sizes[1], 2),
        }
    )

    order = np.random.default_rng(1).permutation(n_pairs)
    row_of = {u.id: i for i, u in enumerate(utterances)}
    with h5py.File(old_audio) as old:

        def baseline_read() -> None:
            for i in order:
                row = row_of[utterances[i].id]
                torch.FloatTensor(old["melspec"][row]), int(old["melspec_len"][row])

        def our_read() -> None:
            for i in order:  # nothing is kept on either side: fresh memory costs more than the reading
                store.logmel(store.index(utterances[i].id))

        results.append(compare("random read of every utterance", baseline_read, our_read, rounds))

    crop, image, random = baseline_crop(), ImageModel(architecture="resnet50"), np.random.default_rng(0)
    files = [u.image.read_bytes() for u in few]
    results.append(
        compare(
            "JPEG to a 224 crop, 256-pixel source",
            lambda: [crop(data) for data in files],
            lambda: [np.ascontiguousarray(images.training_crop(images.decode(data), image, random)) for data in files],
            rounds,
        )
    )
    return results


if __name__ == "__main__":
    main()
