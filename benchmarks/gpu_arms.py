"""The measurements of `first_half_hour.py`: each is a function that runs in a process of its own and returns its numbers.

All run on a CPU, too, at the size `toy`; what only a GPU can say is then None. `passed` is there where a number is right or wrong.
"""

from __future__ import annotations

import contextlib
import csv
import math
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
import training as training_benchmark
from torch import Tensor, nn
from training import QUANTIZERS, SIZES, Package, write_store

from resdavenet_vq import config
from resdavenet_vq.data.dataset import Batch, training_batches
from resdavenet_vq.data.store import Store
from resdavenet_vq.files import sha256
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.model.dual_encoder import DualEncoder
from resdavenet_vq.model.quantizer import nearest
from resdavenet_vq.training import compute
from resdavenet_vq.training import train as loop
from resdavenet_vq.training.losses import pooled_similarity, triplet_losses

REPO = Path(__file__).resolve().parents[1]
CONTEXT = multiprocessing.get_context("forkserver")

Numbers = dict[str, Any]


class Scale(NamedTuple):
    """The sizes of a run."""

    size: str
    """Of the networks, a key of `training.SIZES`."""
    frames: int
    steps: int
    """Timed, of which the median counts."""
    square: int
    """The side of the matrices whose product is timed."""
    code_frames: int
    tests: tuple[str, ...]
    kills: int
    pairs: int
    """In the store of a small training."""


SCALES = {
    "full": Scale("full", 2048, 20, 8192, 65_536, ("tests/training", "tests/model"), 3, 128),
    "toy": Scale("small", 64, 2, 64, 128, ("tests/test_lineage.py",), 1, 8),
}


def device() -> torch.device:
    """The first GPU, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def on_gpu() -> bool:
    return device().type == "cuda"


def times(work: Callable[[], object], repeats: int, warm_up: int = 3) -> list[float]:
    """Seconds of each run: between events of a GPU, or on the clock."""
    for _ in range(warm_up if on_gpu() else 1):
        work()
    if not on_gpu():
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
        return seconds
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(repeats)]
    for start, end in events:
        start.record()
        work()
        end.record()
    torch.cuda.synchronize()
    return [1e-3 * start.elapsed_time(end) for start, end in events]


def median(work: Callable[[], object], repeats: int) -> float:
    return statistics.median(times(work, repeats))


def settings(batch: int, precision: str = "float32", *, compiled: bool = False, deterministic: bool = True) -> Any:
    """The section `training` of an arm."""
    arithmetic = config.Compute(precision=precision, compile=compiled, deterministic=deterministic)
    return config.Training(split="t", validation_split="v", batch_size=batch, compute=arithmetic)


def made_up(scale: Scale, batch: int) -> Batch:
    """A batch on the device; half of each utterance is padding."""
    random, crop = torch.Generator().manual_seed(0), SIZES[scale.size].image.crop
    logmel = torch.rand(batch, 40, scale.frames, generator=random).mul(80).sub(80).half()
    images = torch.randint(0, 256, (batch, 3, crop, crop), generator=random, dtype=torch.uint8)
    n_frames = torch.full((batch,), scale.frames // 2)
    return Batch(*(x.to(device()) for x in (logmel, n_frames, images, torch.arange(batch))))


# -- correct ------------------------------------------------------------------------------------------------


def ceilings(scale: Scale) -> Numbers:
    """What the device reaches at best: copying memory, and products of large matrices."""
    x = torch.empty((1 << 30) if on_gpu() else (1 << 22), dtype=torch.uint8, device=device())
    y, n = torch.empty_like(x), scale.square
    numbers = {"copy_TB_s": 2e-12 * x.numel() / median(lambda: y.copy_(x), scale.steps)}
    for precision, dtype in (("float32", torch.float32), ("tf32", torch.float32), ("bfloat16", torch.bfloat16)):
        a = torch.randn(n, n, device=device(), dtype=dtype)
        with compute.arithmetic(settings(8, precision).compute, device()):
            numbers[f"{precision}_TFLOP_s"] = 2e-12 * n**3 / median(lambda a=a: a @ a, scale.steps)
    return numbers


def tests(scale: Scale) -> Numbers:
    """The tests of the networks and of training, here."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *scale.tests]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines() or done.stderr.strip().splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return {"passed": done.returncode == 0, "summary": lines[-1] if lines else "", "first": failed[:1]}


def small_network(scale: Scale) -> Numbers:  # noqa: ARG001
    """Losses and gradients of a first step against those of the CPU."""
    batch, results = made_up(SCALES["toy"]._replace(size="small"), 8), []
    for place in (torch.device("cpu"), device()):
        with compute.arithmetic(settings(8).compute, place):
            package = Package(SIZES["small"], settings(8), place)
            package.run.model.load_state_dict(results[0][2] if results else package.run.model.state_dict())
            start = {name: x.detach().cpu().clone() for name, x in package.run.model.state_dict().items()}
            package.step(Batch(*(x.to(place) for x in batch)), 0)
            gradients = torch.cat([p.grad.flatten().cpu() for p in package.run.model.parameters()])
            results.append((package.run.totals.parts.cpu(), gradients, start))
    (a, g, _), (b, h, _) = results
    losses, relative = float((a - b).abs().max()), float((g - h).norm() / g.norm())
    return {
        "largest_loss_difference": losses,
        "relative_gradient_difference": relative,
        "passed": losses < 8e-4 and relative < 1e-3,  # 8 pairs: 1e-4 each
    }


def codes(scale: Scale) -> Numbers:
    """Nearest codes against those by float64 distances; where two are nearly as near, either is right."""
    random = torch.Generator().manual_seed(0)
    frames, codebook = (torch.randn(n, 256, generator=random).to(device()) for n in (scale.code_frames, 1024))
    with compute.arithmetic(settings(8, "tf32").compute, device()):
        own, different, wrong = nearest(frames, codebook), 0, 0
    for part, numbers in zip(frames.split(4096), own.split(4096), strict=True):
        distances = torch.cdist(part.double(), codebook.double())
        lowest, right = distances.min(dim=1)
        chosen = distances.gather(1, numbers[:, None])[:, 0]
        different += int((numbers != right).sum())
        wrong += int((chosen - lowest > 1e-5 * lowest).sum())
    return {"different": different, "wrong": wrong, "passed": wrong == 0}


def waiting(scale: Scale, precision: str, *, compiled: bool, deterministic: bool) -> Numbers:
    """A step in which any wait for the GPU is an error."""
    chosen = settings(8, precision, compiled=compiled, deterministic=deterministic)
    training_benchmark.step_without_waiting(SIZES[scale.size], chosen, repeat(made_up(scale, 8)), device())
    return {"passed": True if on_gpu() else None}


def similarity(scale: Scale) -> Numbers:  # noqa: ARG001
    """The matrix of similarities in a training with TF32: it must be as exact as in true float32."""
    random = torch.Generator().manual_seed(0)
    image, speech = (torch.randn(64, 1024, generator=random) for _ in range(2))
    with compute.arithmetic(settings(8, "tf32").compute, device()):
        S = pooled_similarity(image.to(device()), speech.to(device())).cpu()
    error = float((S.double() - image.double() @ speech.double().T).abs().max())
    return {"largest_error": error, "passed": error < 1e-3}


def nondeterministic(scale: Scale) -> Numbers:
    """The warnings of operations that have no deterministic algorithm, in a step."""
    with warnings.catch_warnings(record=True) as caught, compute.arithmetic(settings(8).compute, device()):
        warnings.simplefilter("always")
        Package(SIZES[scale.size], settings(8), device()).step(made_up(scale, 8), 0)
    texts = sorted({str(w.message).split("\n")[0][:160] for w in caught if "deterministic" in str(w.message)})
    return {"warnings": texts, "passed": not texts}


def resume(scale: Scale, *, compiled: bool) -> Numbers:
    """A training that is killed again and again, against one that is not: the same bits."""
    with tempfile.TemporaryDirectory() as name:
        folder = stores(Path(name), scale)
        chosen = {"compiled": compiled, "epochs": scale.kills + 1}
        trained(folder, "whole", **chosen)
        for kill in range(scale.kills):
            process = CONTEXT.Process(target=train_small, args=(folder, "killed"), kwargs=chosen)
            process.start()
            while process.is_alive() and len(list((folder / "killed").glob("state/*/latest.json"))) == 0:
                time.sleep(0.01)
            time.sleep(0.2 * kill)
            process.kill()
            process.join()
        trained(folder, "killed", **chosen)
        digests = [sha256(folder / run / "model/model.safetensors") for run in ("whole", "killed")]
        rows = [history(folder / run) for run in ("whole", "killed")]
    return {"kills": scale.kills, "passed": digests[0] == digests[1] and rows[0] == rows[1]}


# -- ladder -------------------------------------------------------------------------------------------------


def ladder(scale: Scale, batch: int, precision: str, *, compiled: bool, deterministic: bool) -> Numbers:
    """Steps of the whole network on a batch that is on the device already."""
    chosen = settings(batch, precision, compiled=compiled, deterministic=deterministic)
    inputs, numbers = made_up(scale, batch), iter(range(1, 1000))
    with compute.arithmetic(chosen.compute, device()):
        package = Package(SIZES[scale.size], chosen, device())
        start = time.perf_counter()
        package.step(inputs, 0)
        first = time.perf_counter() - start
        seconds = median(lambda: package.step(inputs, next(numbers)), scale.steps)
    peak = torch.cuda.max_memory_allocated() / 1e9 if on_gpu() else None
    return {"pairs_per_s": batch / seconds, "step_ms": 1e3 * seconds, "first_step_s": first, "peak_GB": peak}


# -- profile ------------------------------------------------------------------------------------------------


def kernels(scale: Scale, *, compiled: bool) -> Numbers:
    """The 25 operations with the most time in three steps: name, calls and microseconds a pair."""
    batch = 64 if on_gpu() else 4
    chosen, inputs = settings(batch, "bfloat16" if on_gpu() else "float32", compiled=compiled), made_up(scale, batch)
    activities = [torch.profiler.ProfilerActivity.CPU, *([torch.profiler.ProfilerActivity.CUDA] if on_gpu() else [])]
    with compute.arithmetic(chosen.compute, device()):
        package = Package(SIZES[scale.size], chosen, device())
        for number in range(3):
            package.step(inputs, number)
        with torch.profiler.profile(activities=activities) as profile:
            for number in range(3, 6):
                package.step(inputs, number)
            torch.cuda.synchronize() if on_gpu() else None
    names = ("self_device_time_total", "self_cuda_time_total") if on_gpu() else ("self_cpu_time_total",)
    rows = [
        (e.key[:80], e.count, round(next(getattr(e, n) for n in names if hasattr(e, n)) / 3 / batch, 2))
        for e in profile.key_averages()
    ]
    return {"us_a_pair": sorted(rows, key=lambda row: -row[2])[:25]}


def sums(scale: Scale, how: str) -> Numbers:
    """The sum of the frames of each code, half of the frames being padding with a bin of its own."""
    batch, width, size, spread = (64 if on_gpu() else 4), 256, 1024, 32
    n = batch * scale.frames // 2
    frames, codes_ = torch.randn(n, width, device=device()), torch.randint(size, (n,), device=device())
    bins = torch.where(torch.arange(n, device=device()) < n // 2, codes_, size)
    rows = 1
    if how == "spread":
        bins, rows = bins * spread + torch.arange(n, device=device()) % spread, spread
    with compute.arithmetic(settings(batch, deterministic=how != "atomic").compute, device()):
        seconds = median(
            lambda: frames.new_zeros((size + 1) * rows, width).index_add_(0, bins, frames).view(-1, rows, width).sum(1),
            scale.steps,
        )
    return {"us_a_pair": 1e6 * seconds / batch}


def convolution(scale: Scale, how: str) -> Numbers:
    """A 1 x 9 convolution of the third stage forward and backward in bfloat16."""
    batch, width, frames = (64 if on_gpu() else 2), (512 if scale.size == "full" else 64), scale.frames // 8
    dtype = torch.bfloat16 if on_gpu() else torch.float32
    if how == "conv1d":
        layer: nn.Module = nn.Conv1d(width, width, 9, padding=4, bias=False)
        x = torch.randn(batch, width, frames)
    else:
        layer, x = nn.Conv2d(width, width, (1, 9), padding=(0, 4), bias=False), torch.randn(batch, width, 1, frames)
    layer, x = layer.to(device(), dtype), x.to(device(), dtype)
    if how == "channels_last":
        layer, x = layer.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    seconds = median(lambda: layer(x).sum().backward(), scale.steps)
    return {"TFLOP_s": 3e-12 * 2 * 9 * width**2 * frames * batch / seconds}


def batch_norm(scale: Scale, how: str) -> Numbers:
    """Batch normalization and ReLU in bfloat16, forward and backward: passes of the activations a second."""
    width, n = 256, (64 * 56 * 56 if on_gpu() else 1024)
    dtype = torch.bfloat16 if on_gpu() else torch.float32
    norm = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU()).to(device())
    layer = torch.compile(norm) if how == "compiled" else norm
    x = torch.randn(1, width, 1, n, device=device(), dtype=dtype).contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    with torch.autocast(device().type, torch.bfloat16, enabled=on_gpu()):
        seconds = median(lambda: layer(x).sum().backward(), scale.steps)
    return {"TB_s_of_8_passes": 8e-12 * x.numel() * x.element_size() / seconds}


def search(scale: Scale, how: str) -> Numbers:
    """Nearest codes in true float32, or candidates in bfloat16 and exact distances of the best eight."""
    random = torch.Generator().manual_seed(0)
    frames, codebook = (torch.randn(n, 256, generator=random).to(device()) for n in (scale.code_frames, 1024))

    def two_stages() -> Tensor:
        rough = torch.addmm(codebook.square().sum(1).bfloat16(), frames.bfloat16(), codebook.T.bfloat16(), alpha=-2)
        best = rough.topk(8, dim=1, largest=False).indices.sort(dim=1).values
        exact = (frames[:, None] - codebook[best]).square().sum(2)
        return best.gather(1, exact.argmin(dim=1, keepdim=True))[:, 0]

    find = two_stages if how == "two_stages" else lambda: nearest(frames, codebook)
    same = float((find() == nearest(frames, codebook)).double().mean())
    return {"us_for_1024_frames": 1e6 * median(find, scale.steps) * 1024 / len(frames), "same": same}


def graph(scale: Scale, batch: int) -> Numbers:
    """A whole step as a CUDA graph: forward, losses, backward and Adam, with impostors and times that do not change."""
    if not on_gpu():
        return {"pairs_per_s": None}
    inputs, n = made_up(scale, batch), torch.arange(batch, device=device())
    impostors = torch.stack([n.roll(1), n.roll(2)])
    model = DualEncoder(SIZES[scale.size], QUANTIZERS).to(device()).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-4, fused=True, capturable=True)

    def one() -> None:
        optimizer.zero_grad(set_to_none=False)
        with torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
            maps, audio = model.image(inputs.images), model.audio(inputs.logmel, inputs.n_frames)
        S = pooled_similarity(model.embed_image(maps), model.embed_speech(audio))
        commitment = sum(x.commitment_loss for x in audio.layers.values() if x.commitment_loss is not None)
        (triplet_losses(S, impostors, 1.0, "published").sum() + commitment).backward()
        optimizer.step()

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            one()
    torch.cuda.current_stream().wait_stream(stream)
    eager = median(one, scale.steps)
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded):
        one()
    return {"pairs_per_s": batch / median(recorded.replay, scale.steps), "eager_pairs_per_s": batch / eager}


# -- loader and training ------------------------------------------------------------------------------------


@contextlib.contextmanager
def store_of(scale: Scale, pairs: int) -> Iterator[Path]:
    """A store of made-up pairs."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "t.h5"
        write_store(path, pairs, scale.frames, SIZES[scale.size].image.resize)
        yield path


def batches_of(scale: Scale, path: Path, batch: int, workers: int, epochs: int) -> Iterator[Batch]:
    image = SIZES[scale.size].image
    keys = {"pad_to": "max_frames", "pad_value": 0.0, "seed": 1, "epoch": 1, "last_epoch": epochs}
    return iter(training_batches(Store(path), image, batch_size=batch, workers=workers, **keys))


def loading(scale: Scale, workers: int) -> Numbers:
    """Pairs a second that data workers hand over, in pinned memory where there is a GPU."""
    batch, epochs = (64, 40) if on_gpu() else (4, 4)
    with store_of(scale, 2 * batch) as path:
        batches = batches_of(scale, path, batch, workers, epochs)
        for _ in range(2):
            next(batches)
        start, n = time.perf_counter(), sum(len(b.index) for b in batches)
    return {"pairs_per_s": n / (time.perf_counter() - start)}


def fed(scale: Scale, workers: int, *, compiled: bool) -> Numbers:
    """Steps that data workers feed: the share of the time in which the GPU has nothing to do, by events."""
    batch = 64 if on_gpu() else 4
    chosen = settings(batch, "bfloat16" if on_gpu() else "float32", compiled=compiled)
    with store_of(scale, 2 * batch) as path, compute.arithmetic(chosen.compute, device()):
        package = Package(SIZES[scale.size], chosen, device())
        batches = batches_of(scale, path, batch, workers, 2 + scale.steps)
        for number in range(3):
            package.step(package.to_device(next(batches)), number)
        torch.cuda.synchronize() if on_gpu() else None
        events, n, start = [], 0, time.perf_counter()
        for number, one in enumerate(batches, 3):
            inputs = package.to_device(one)
            events.append([torch.cuda.Event(enable_timing=True) for _ in range(2)] if on_gpu() else [])
            events[-1][0].record() if on_gpu() else None
            package.step(inputs, number)
            events[-1][1].record() if on_gpu() else None
            n += len(one.index)
        torch.cuda.synchronize() if on_gpu() else None
        seconds = time.perf_counter() - start
    idle = None
    if on_gpu():
        between = [1e-3 * a[1].elapsed_time(b[0]) for a, b in pairwise(events)]
        idle = sum(between) / seconds
    return {"pairs_per_s": n / seconds, "idle": idle, "passed": None if idle is None else idle < 0.05}


def whole_arm(scale: Scale, arm: str, workers: int) -> Numbers:
    """An arm of `training.py`: loader, steps, and the arithmetic of 2020 as the baseline."""
    batch = 64 if on_gpu() else 4
    keys = {"batch": batch, "steps": 2 * scale.steps, "warm_up": 2, "workers": workers, "threads": 1}
    options = SimpleNamespace(**keys, size=scale.size, frames=scale.frames)
    with store_of(scale, 2 * batch) as path:
        numbers = training_benchmark.measure(arm, path, options)
    return {key: numbers[key] for key in ("pairs_per_second", "data_wait", "peak_mebibytes")}


def lineages(scale: Scale) -> Numbers:
    """Two stages of a lineage on the device and the first of them on the CPU: finite, and nearly the same first epoch."""
    with tempfile.TemporaryDirectory() as name:
        folder = stores(Path(name), scale)
        trained(folder, "parent", lineage="{}")
        trained(folder, "child", lineage="{}->{2}", parent="parent")
        trained(folder, "cpu", lineage="{}", on_cpu=True)
        rows = {run: history(folder / run) for run in ("parent", "child", "cpu")}
    finite = all(math.isfinite(x) for run in rows.values() for row in run for x in row.values())
    difference = abs(rows["parent"][0]["loss"] / rows["cpu"][0]["loss"] - 1)
    recalls = {f"{run}_recall_at_10": of_run[-1]["mean_recall_at_10"] for run, of_run in rows.items()}
    return {"loss_difference": difference, **recalls, "passed": finite and difference < 0.01}


def stores(folder: Path, scale: Scale) -> Path:
    """train.h5 and val.h5 of made-up pairs for small networks."""
    for name in ("train", "val"):
        write_store(folder / f"{name}.h5", scale.pairs, 64, SIZES["small"].image.resize)
    return folder


def trained(folder: Path, name: str, **options: Any) -> None:
    """Trains in a process of its own. Raises RuntimeError where that fails."""
    process = CONTEXT.Process(target=train_small, args=(folder, name), kwargs=options)
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"the training {name} ended with status {process.exitcode}")


def train_small(
    folder: Path,
    name: str,
    lineage: str = "{2,3}",
    parent: str | None = None,
    *,
    compiled: bool = False,
    epochs: int = 2,
    on_cpu: bool = False,
) -> None:
    """A training of small networks on `stores`, with a checkpoint after each step."""
    if on_cpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    torch.set_num_threads(1)
    loop.CHECKPOINT_SECONDS = 0.0
    chosen = settings(4, compiled=compiled).model_copy(update={"epochs": epochs, "workers": 0, "pad_to": "batch"})
    out = folder / name
    loop.train(
        lineage=Lineage.parse(lineage),
        model=SIZES["small"],
        recipe=config.Recipe(),
        training=chosen,
        train_store=folder / "train.h5",
        validation_store=folder / "val.h5",
        parent=folder / parent / "model" if parent else None,
        out=out / "model",
        state=out / "state",
        code="",
    )


def history(folder: Path) -> list[dict[str, float]]:
    """The rows of a training's history without its times."""
    with (folder / "model/history.csv").open() as file:
        return [{k: float(v) for k, v in row.items() if k not in loop.TIMINGS} for row in csv.DictReader(file)]
