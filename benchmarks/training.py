"""Training steps: pairs per second, waiting for data and peak memory, against the arithmetic of 2020 in plain PyTorch.

    python benchmarks/training.py                     # a CPU: the demo's small networks, seconds
    python benchmarks/training.py --size full         # a GPU: the published networks, T = 2,048

Every arm trains both branches with quantizers 2 and 3 on the same store of made-up pairs, read by data workers, in a
fresh process each; rounds of the arms take turns and medians count: of processor seconds, the workers' included, or on a GPU of
wall seconds. That `2020` reads the package's store instead of its HDF5 files is to its advantage. Arms: `2020`, float32, eager, one-hot matrices of
frames by codes, pooling and impostors in Python loops over the batch, features and images as normalized float32 from
the workers, a number read back in every step, padded; `float32`, `bfloat16` and `compiled`, which is bfloat16 too, of this package. On a GPU one step of
each of the package's arms, deterministic as by default and not, first runs where any wait for the GPU is an error; `deterministic: false` is timed.

The roofline: a pair takes at least  3 · F / P + 16 · 2 · E / M  seconds, F being the multiply-adds, times two, of the
audio branch's convolutions (compute bound; forward and twice that backward), P the GPU's bfloat16 FLOP/s, E the outputs
of the image branch's convolutions (memory bound: 2 bytes each, read or written 16 times by convolution, normalisation,
ReLU and their gradients), M its memory's bytes/s. For an H200, 790e12 and 4.3e12 as measured, and the published
networks: about 6,340 pairs per second.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import platform
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from measuring import Cost, cost, medians, row, write
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from resdavenet_vq import config
from resdavenet_vq.corpus.manifest import Utterance
from resdavenet_vq.data import dataset
from resdavenet_vq.data.dataset import Batch, training_batches
from resdavenet_vq.data.loader import load
from resdavenet_vq.data.store import Store
from resdavenet_vq.data.store_writer import StoreWriter
from resdavenet_vq.model.audio import jittered_times
from resdavenet_vq.model.dual_encoder import DualEncoder
from resdavenet_vq.model.image import MEAN, STD
from resdavenet_vq.training import compute
from resdavenet_vq.training.state import Run
from resdavenet_vq.training.step import generator, step_losses, update

ARMS = ("2020", "float32", "bfloat16", "compiled")
QUANTIZERS = (2, 3)
PEAKS = {"H200": (790e12, 4.3e12), "H100": (790e12, 3.0e12), "A100": (250e12, 1.8e12)}
"""Dense bfloat16 FLOP/s and bytes/s of memory: measured on an H200 by others, else four fifths and nine tenths of the vendor's."""

SIZES = {
    "full": config.Model(
        audio=config.AudioModel(widths=(128, 256, 256, 512, 1024)), image=config.ImageModel(architecture="resnet50")
    ),
    "small": config.Model(
        audio=config.AudioModel(widths=(32, 32, 64, 64, 128), blocks_per_stage=1),
        image=config.ImageModel(architecture="thin_resnet", crop=64, resize=72),
    ),
}


class OneHot(nn.Module):
    """A quantizer as a matrix of frames by codes. All frames count, padding too: here there is none."""

    def __init__(self, codebook: Tensor) -> None:
        super().__init__()
        self.codebook, self.sums, self.sizes = (
            codebook.clone(),
            codebook.clone(),
            torch.ones(len(codebook), device=codebook.device),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (B, C, T) to code vectors and the commitment loss."""
        frames = x.transpose(1, 2).contiguous()
        flat = frames.view(-1, frames.shape[2])
        distances = (flat**2).sum(1, keepdim=True) + (self.codebook**2).sum(1) - 2 * flat @ self.codebook.t()
        one_hot = torch.zeros_like(distances).scatter_(1, distances.argmin(1)[:, None], 1)
        vectors = (one_hot @ self.codebook).view_as(frames)
        with torch.no_grad():
            sizes = self.sizes * 0.99 + 0.01 * one_hot.sum(0)
            n = sizes.sum()
            self.sizes = (sizes + 1e-8) / (n + len(sizes) * 1e-8) * n
            self.sums = self.sums * 0.99 + 0.01 * one_hot.t() @ flat
            self.codebook = self.sums / self.sizes[:, None]
        loss = functional.mse_loss(vectors.detach(), frames)
        return (frames + (vectors - frames).detach()).transpose(1, 2), loss


class FloatBatches(Dataset[Batch]):
    """The batches of another data set as float32, the images normalized: the work of the workers in 2020."""

    def __init__(self, batches: Dataset[Batch]) -> None:
        self.batches = batches

    def __getitem__(self, step: int) -> Batch:
        batch = self.batches[step]
        mean, std = (torch.tensor(x)[:, None, None] for x in (MEAN, STD))
        return batch._replace(logmel=batch.logmel.float(), images=(batch.images / 255 - mean) / std)


class Plain:
    """The arm `2020`: the same layers in the plain memory order, and everything around them spelt out."""

    def __init__(self, model: DualEncoder, device: torch.device) -> None:
        self.model, self.device = model.to(device, memory_format=torch.contiguous_format).train(), device
        model.image.memory_format = torch.contiguous_format
        self.quantizers = {n: OneHot(model.audio.quantizers[f"quant{n}"].codebook) for n in QUANTIZERS}
        self.optimizer = torch.optim.Adam(model.parameters(), lr=2e-4, weight_decay=5e-7, foreach=False, fused=False)

    def to_device(self, batch: Batch) -> tuple[Tensor, Tensor, list[int]]:
        """Features and images as float32, as the workers have made them."""
        return batch.logmel.to(self.device), batch.images.to(self.device), batch.n_frames.tolist()

    def step(self, batch: Any, number: int) -> None:
        """Forward, losses, gradients, update."""
        logmel, images, n_frames = batch
        maps = self.model.image(images)
        x, commitment = logmel[:, None], torch.zeros((), device=self.device)
        for position, stage in enumerate(self.model.audio.stages, start=1):
            x = stage(x)
            if position in self.quantizers:
                quantized, loss = self.quantizers[position](x[:, :, 0])
                x, commitment = quantized[:, :, None], commitment + loss
            if position in {1, 2}:
                times = jittered_times(x.shape[-1], 0.12, (0, 1, 2), generator("jitter", number))
                x = x[..., times.to(self.device)]
        n = len(maps)
        pooled = [x[i, :, 0, : max(1, n_frames[i] // 16)].mean(dim=1) for i in range(n)]
        S = maps.mean(dim=(2, 3)) @ torch.stack(pooled).t()
        loss = torch.zeros((), device=self.device)
        for scores in (S, S.t()):
            impostors = [(i + 1 + random.randrange(n - 1)) % n for i in range(n)]
            loss = loss + (scores[range(n), impostors] - scores.diag() + 1).clamp(min=0).mean()
        for scores in (S, S.t()):
            true = scores.diag()
            hardest = (scores * (scores < true[:, None])).max(dim=1).values
            loss = loss + (hardest - true + 1).clamp(min=0).mean()
        loss = loss + commitment
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if not np.isfinite(loss.item()):  # the running mean that was printed
            raise FloatingPointError(f"the plain baseline diverged in step {number}")


class Package:
    """The other arms: the package's own step, without checkpoints."""

    def __init__(self, model: config.Model, training: config.Training, device: torch.device) -> None:
        self.training, self.device = training, device
        self.run = Run.start(model, QUANTIZERS, config.Recipe(), training, None, device)
        self.healthy = torch.tensor(data=True, device=device)

    def to_device(self, batch: Batch) -> Batch:
        """As the loop does it."""
        return Batch(*(x.to(self.device, non_blocking=True) for x in batch))

    def step(self, batch: Batch, number: int) -> None:
        """As the loop does it, with its look every eighth step."""
        losses = step_losses(self.run.model, batch, len(batch.index), (1, number), config.Recipe(), self.training)
        self.healthy &= update(self.run.model, self.run.optimizer, losses)
        self.run.totals.add(losses, len(batch.index))
        if (number + 1) % 8 == 0 and not self.healthy:
            raise FloatingPointError(f"diverged before step {number}")


@contextlib.contextmanager
def waiting_is_an_error(device: torch.device) -> Any:
    """While the block runs, whatever makes the host wait for the GPU raises RuntimeError."""
    if device.type == "cuda":
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        if device.type == "cuda":
            torch.cuda.set_sync_debug_mode("default")


def step_without_waiting(
    model: config.Model, training: config.Training, batches: Iterator[Batch], device: torch.device
) -> None:
    """Takes three steps, the third of which must not wait for the GPU. Raises RuntimeError where it does."""
    with compute.arithmetic(training.compute, device):
        package = Package(model, training, device)
        for number in range(2):
            package.step(package.to_device(next(batches)), number)
        _finish(device)
        batch = next(batches)
        with waiting_is_an_error(device):
            package.step(package.to_device(batch), 2)
        _finish(device)


def settings(arm: str, options: argparse.Namespace, *, deterministic: bool) -> config.Training:
    """The section `training` of an arm."""
    precision = "float32" if arm in {"2020", "float32"} else "bfloat16"
    return config.Training(
        split="t",
        validation_split="v",
        batch_size=options.batch,
        compute=config.Compute(precision=precision, compile=arm == "compiled", deterministic=deterministic),
    )


def batches_of(path: Path, options: argparse.Namespace, steps: int) -> Iterator[Batch]:
    """Padded batches, and one more than these steps need."""
    keys = {"pad_to": "max_frames", "pad_value": 0.0, "seed": 1, "epoch": 1, "last_epoch": steps + 1}
    image = SIZES[options.size].image
    return iter(training_batches(Store(path), image, batch_size=options.batch, workers=options.workers, **keys))


def check_waiting(arm: str, path: Path, options: argparse.Namespace, *, deterministic: bool) -> str:
    """A step of an arm that must not wait, in this process; returns what was tried."""
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    training = settings(arm, options, deterministic=deterministic)
    step_without_waiting(SIZES[options.size], training, batches_of(path, options, 3), device)
    return f"{arm}, deterministic: {str(deterministic).lower()}"


def measure(arm: str, path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One arm, in this process; its cost is that of a step."""
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    training, model = settings(arm, options, deterministic=False), SIZES[options.size]
    with compute.arithmetic(training.compute, device):
        torch.manual_seed(0)
        trained = Plain(DualEncoder(model, QUANTIZERS), device) if arm == "2020" else Package(model, training, device)
        # loader.load is the package's; only what its workers make differs
        loading = (
            mock.patch.object(dataset, "load", lambda batches, *rest: load(FloatBatches(batches), *rest))
            if arm == "2020"
            else contextlib.nullcontext()
        )
        with loading:
            batches = batches_of(path, options, options.warm_up + options.steps)
        for number in range(options.warm_up):
            trained.step(trained.to_device(next(batches)), number)
        _finish(device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        waits = []

        def steps() -> None:
            for number in range(options.steps):
                start = time.perf_counter()
                batch = next(batches)
                waits.append(time.perf_counter() - start)
                trained.step(trained.to_device(batch), number)
            _finish(device)

        taken = cost(steps)
    peak = (
        torch.cuda.max_memory_allocated() / 2**20
        if device.type == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    )
    return {
        "cost": Cost(*(seconds / options.steps for seconds in taken)),
        "pairs_per_second": options.steps * options.batch / taken.wall,
        "data_wait": sum(waits) / taken.wall,
        "peak_mebibytes": peak,
    }


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def write_store(path: Path, pairs: int, frames: int, side: int) -> None:
    """Made-up pairs: utterances of `frames` frames and smooth images `side` pixels wide."""
    chance = np.random.default_rng(0)
    with StoreWriter(path.parent, "float16") as writer:
        for i in range(pairs):
            coarse = Image.fromarray(chance.integers(0, 256, (16, 16, 3), np.uint8))
            with io.BytesIO() as f:
                coarse.resize((side, side), Image.Resampling.BICUBIC).save(f, "JPEG", quality=90)
                writer.add_image(f"{i}.jpg", f.getvalue())
            utterance = Utterance(f"u{i}", Path(f"u{i}.wav"), Path(f"{i}.jpg"), f"{i}.jpg", "s", "a", None, None)
            writer.add(utterance, chance.uniform(-80, 0, (frames, 40)), frames * 160)
        writer.write(path, frames, "benchmarks/training.py")


def work(model: config.Model, frames: int) -> tuple[float, float]:
    """F, FLOP of the audio branch's convolutions forward, and E, outputs of the image branch's, of one pair."""
    encoder = DualEncoder(model, ()).to("meta").eval()
    flop, outputs = [], []
    for branch in (encoder.audio, encoder.image):
        for module in branch.modules():
            if isinstance(module, nn.Conv2d):
                counted = flop if branch is encoder.audio else outputs
                module.register_forward_hook(
                    lambda m, _, out, c=counted: c.append(out.numel() * (2 * m.weight[0].numel() if c is flop else 1))
                )
    encoder.audio(torch.zeros(1, 40, frames, device="meta"), torch.full((1,), frames, device="meta"))
    encoder.image(torch.zeros(1, 3, model.image.crop, model.image.crop, device="meta"))
    return float(sum(flop)), float(sum(outputs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--frames", type=int, help="T; 2,048 of the full size, 256 of the small one")
    parser.add_argument("--batch", type=int, help="64 of the full size, 8 of the small one")
    parser.add_argument("--steps", type=int, help="timed; 40 of the full size, 6 of the small one")
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, help="12 of the full size, 1 of the small one")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), help="2020 is always among them")
    options = parser.parse_args()
    for key, full, small in (("frames", 2048, 256), ("batch", 64, 8), ("steps", 40, 6), ("workers", 12, 1)):
        if getattr(options, key) is None:
            setattr(options, key, full if options.size == "full" else small)
    arms = [arm for arm in ARMS if arm == "2020" or arm in options.arms]
    measured: dict[str, list[dict[str, Any]]] = {arm: [] for arm in arms}
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.h5"
        write_store(path, 2 * options.batch, options.frames, SIZES[options.size].image.resize)
        tried = []
        for arm in arms[1:] if torch.cuda.is_available() else []:
            for deterministic in (True, False):
                with ProcessPoolExecutor(1, mp_context=context) as fresh:
                    check = partial(check_waiting, arm, path, options, deterministic=deterministic)
                    tried.append(fresh.submit(check).result())
        for _ in range(options.rounds):
            for arm in arms:
                with ProcessPoolExecutor(1, mp_context=context) as fresh:
                    measured[arm].append(fresh.submit(measure, arm, path, options).result())
    others = ("pairs_per_second", "data_wait", "peak_mebibytes")
    by_arm = {
        arm: {key: statistics.median(r[key] for r in rounds) for key in others} for arm, rounds in measured.items()
    }
    name = (
        torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f"{platform.machine()}, {options.threads} thread(s)"
    )
    flop, outputs = work(SIZES[options.size], options.frames)
    peak = next((peaks for gpu, peaks in PEAKS.items() if gpu in name), None)
    roof = 1 / (3 * flop / peak[0] + 32 * outputs / peak[1]) if peak else None
    print(f"{name}; {options.size}, T = {options.frames}, batch {options.batch}")
    rows = []
    for arm in arms[1:]:
        seconds = medians({side: [r["cost"] for r in measured[a]] for side, a in (("2020", "2020"), ("package", arm))})
        by = "wall_seconds" if torch.cuda.is_available() else "cpu_seconds"
        rows.append(row(f"training step, {arm}", seconds, by=by, **by_arm[arm]))
    for arm, of_arm in by_arm.items():
        share = f", {of_arm['pairs_per_second'] / roof:.1%} of the roofline" if roof else ""
        print(
            f"{arm:10} {of_arm['pairs_per_second']:9.1f} pairs/s, {of_arm['data_wait']:.1%} waiting for data, "
            f"{of_arm['peak_mebibytes']:.0f} MiB{share}"
        )
    print(
        f"roofline: 1 / (3 · {flop:.4g} / P + 16 · 2 · {outputs:.4g} / M) pairs per second"
        + (f" = {roof:.0f}" if roof else "")
    )
    device = name.split()[-1].lower() if torch.cuda.is_available() else "cpu"
    result = {
        "device": name,
        "torch": torch.__version__,
        **{key: getattr(options, key) for key in ("size", "frames", "batch", "steps", "rounds", "workers")},
        "rows": rows,
        "2020": by_arm["2020"],
        "steps_without_waiting": tried,
        "roofline": {"audio_flop": flop, "image_outputs": outputs, "pairs_per_second": roof},
    }
    write(f"training_{device}", result)


if __name__ == "__main__":
    main()
