"""Encoding to codes: the package against batches of one, on random utterances about as long as Places captions.

    python benchmarks/encoding.py [--utterances 60] [--repeats 3] [--published]

Both sides read the same store, run the same network to its last quantizer and write codes to HDF5. The baseline works
as the 2020 release does: one utterance at a time, nearest codes by way of a one-hot matrix (frames x K), whose rows are
turned into numbers one by one; cropped to its own length as in word analysis, or, beside it, padded to 2,048 frames as in
retrieval and training. Repeats are interleaved and their medians compared, of processor seconds without a GPU. The codes are
compared too (padded ones differ near the ends).
"""

from __future__ import annotations

import argparse
import platform
import resource
import tempfile
from pathlib import Path

import h5py
import numpy as np
import soundfile
import torch
from measuring import measure, row, write

from resdavenet_vq.config import AudioModel, ImageModel, Model, Preparation
from resdavenet_vq.corpus.manifest import Manifest, Utterance
from resdavenet_vq.data.preparation import prepare
from resdavenet_vq.data.store import Store
from resdavenet_vq.encode.split import encode
from resdavenet_vq.model import checkpoint
from resdavenet_vq.model.dual_encoder import DualEncoder

LONGEST = 2048
WIDTHS = {"demo": ((32, 32, 64, 64, 128), 1), "published": ((128, 256, 256, 512, 1024), 2)}
QUANTIZERS = (2, 3)


def write_inputs(folder: Path, n_utterances: int, size: str) -> None:
    """A store of noise, 9.5 seconds long on average, and a model with random weights."""
    rng = np.random.default_rng(0)
    utterances = []
    for i in range(n_utterances):
        wav = folder / f"{i}.wav"
        n_samples = int(np.clip(rng.normal(9.5, 3), 2, 20) * 100) * 160
        soundfile.write(
            wav, 0.1 * rng.normal(size=n_samples) * np.repeat(rng.uniform(0, 1, n_samples // 160), 160), 16000
        )
        utterances.append(Utterance(str(i), wav, None, None, None, None, None, None))
    prepare(Manifest(utterances), Preparation(), folder / "split.h5", folder / "report.json", 1)
    widths, blocks = WIDTHS[size]
    torch.manual_seed(0)
    settings = Model(
        audio=AudioModel(widths=widths, blocks_per_stage=blocks),
        image=ImageModel(architecture="thin_resnet", crop=64, resize=72),
    )
    checkpoint.save(folder / "model", DualEncoder(settings, QUANTIZERS), {})


@torch.inference_mode()
def baseline(folder: Path, *, padded: bool) -> dict[str, list[np.ndarray]]:
    """Codes of every utterance by layer, one utterance at a time."""
    model, _ = checkpoint.load(folder / "model")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    store = Store(folder / "split.h5")
    codes: dict[str, list[np.ndarray]] = {f"quant{n}": [] for n in QUANTIZERS}
    for i in range(len(store)):
        logmel, n_frames = store.logmel(i).astype(np.float32), int(store.n_frames[i])
        x = torch.zeros(1, 1, 40, LONGEST if padded else n_frames)
        x[0, 0, :, :n_frames] = torch.from_numpy(logmel.T)
        x = x.to(device)
        for position, stage in enumerate(model.audio.stages[: max(QUANTIZERS)], start=1):
            x = stage(x)
            if position not in QUANTIZERS:
                continue
            codebook = model.audio.quantizers[f"quant{position}"].codebook
            frames = x[0, :, 0].T
            distances = frames.square().sum(1, keepdim=True) + codebook.square().sum(1) - 2 * frames @ codebook.T
            one_hot = torch.zeros_like(distances).scatter_(1, distances.argmin(1, keepdim=True), 1)
            x = (one_hot @ codebook).T[None, :, None]
            valid = one_hot[: max(1, n_frames >> (position - 1))].cpu().numpy()
            codes[f"quant{position}"].append(np.array([int(row.argmax()) for row in valid], np.int32))
    with h5py.File(folder / "baseline.h5", "w") as f:
        for layer, arrays in codes.items():
            f[layer] = np.concatenate(arrays)
    return codes


def agreement(folder: Path, codes: dict[str, list[np.ndarray]]) -> float:
    """The share of codes that are equal to those of the package."""
    with h5py.File(folder / "codes.h5") as f:
        same = [f[layer]["codes"][:] == np.concatenate(arrays) for layer, arrays in codes.items()]
    return float(np.concatenate(same).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--published", action="store_true", help="the published widths; without: the demo's")
    arguments = parser.parse_args()
    size = "published" if arguments.published else "demo"
    alike = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder, arguments.utterances, size)
        encode(folder / "model", folder / "split.h5", codes=folder / "codes.h5")  # warm
        for side in ("cropped", "padded"):
            alike[side] = round(agreement(folder, baseline(folder, padded=side == "padded")), 5)
        if alike["cropped"] < 0.999:
            raise AssertionError(f"codes differ: {alike}")
        sides = {
            "2020": lambda: baseline(folder, padded=False),
            "2020, padded": lambda: baseline(folder, padded=True),
            "package": lambda: encode(folder / "model", folder / "split.h5", codes=folder / "codes.h5"),
        }
        seconds = measure(sides, arguments.repeats)
    by = "wall_seconds" if torch.cuda.is_available() else "cpu_seconds"
    result = {
        "device": torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f"{platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "widths": size,
        "utterances": arguments.utterances,
        "rows": [row("codes", seconds, by=by)],
        "codes alike": alike,
        "peak memory, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    write(f"encoding_{size}", result)


if __name__ == "__main__":
    main()
