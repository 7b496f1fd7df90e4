"""How long a step of a training takes, from the work of a pair and the unit costs of a machine.

A roofline is the time that nothing can undercut; a step's time adds up its parts, each at the share of the peak that it may reach.
Unit costs are in `unit_costs.yaml`, each with its basis: measured, predicted or assumed.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from resdavenet_vq.config import Compute, Training
from resdavenet_vq.workflow.estimate.work import Work

FILE = Path(__file__).with_name("unit_costs.yaml")


@cache
def unit_costs() -> dict[str, Any]:
    """The sections of `unit_costs.yaml`."""
    costs: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return costs


class Machine(NamedTuple):
    """What a run has."""

    device: str
    """A key of `devices`, or `cpu`."""
    gpus: int = 1
    """Of each node."""
    nodes: int = 1
    cores: int = 16
    """Of each node."""
    network: float = 12.5e9
    """Bytes a second between two nodes."""

    @property
    def processes(self) -> int:
        """The most processes that can train: one a GPU, or one a node without GPUs."""
        return self.nodes * (self.gpus if self.device != "cpu" else 1)


def roofline(work: Work, device: str) -> float:
    """Pairs a second that a GPU cannot exceed in bfloat16: audio bound by its FLOP, images by their memory.

    1 / (3 F / P + 16 · 2 E / M): F the FLOP of the audio convolutions forward, E the outputs of the image convolutions.
    """
    peaks = unit_costs()["devices"][device]
    passes = unit_costs()["gpu"]["passes"]["compiled"]
    audio = 3 * work.forward_flop("audio") / peaks["bfloat16"]
    return float(1 / (audio + passes * 2 * work.outputs("image") / peaks["bandwidth"]))


def pair_seconds(work: Work, training: Training, pair_bytes: float, device: str) -> dict[str, float]:
    """Seconds of a GPU for a pair by part, with the optimizer shared among the pairs of a whole step."""
    costs, peaks = unit_costs()["gpu"], unit_costs()["devices"][device]
    compute = training.compute
    rate = peaks[compute.precision] * costs["efficiency"][compute.precision]
    passes = costs["passes"]["compiled" if compute.compile else "eager"] * value_bytes(compute) / peaks["bandwidth"]
    frames = sum(codebook.frames * codebook.width for codebook in work.codebooks)
    distances = sum(codebook.frames * codebook.size for codebook in work.codebooks)
    exact = peaks["float32"] * costs["efficiency"]["float32"]  # quantizers are in true float32
    return {
        "audio convolutions": work.training_flop("audio") / rate,
        "image convolutions": work.training_flop("image") / rate,
        "activations": passes * (work.outputs("audio") + work.outputs("image")),
        "quantizers": work.quantizer_flop / exact
        + 4 * (2 * distances + costs["quantizer_passes"] * frames) / peaks["bandwidth"],
        "copies to the GPU": pair_bytes / costs["copy"],
    }


def value_bytes(compute: Compute) -> int:
    """Bytes of an activation."""
    return 2 if compute.precision == "bfloat16" else 4


class Step(NamedTuple):
    """Seconds of a step of a training with W processes, by what bounds it."""

    computing: float
    """Of the GPU, or of the cores, of one process: its part of the batch, and the optimizer."""
    launching: float
    """Of the host, at the same time."""
    exchanging: float
    """Of the exchanges among processes, after both: nothing is computed meanwhile."""
    loading: float
    """Of the data workers, at the same time as all others; without any, afterwards."""
    has_workers: bool

    @property
    def seconds(self) -> float:
        """Of the whole step."""
        others = max(self.computing, self.launching) + self.exchanging
        return max(others, self.loading) if self.has_workers else others + self.loading


def step(work: Work, training: Training, machine: Machine, pair_bytes: float, load_seconds: float) -> Step:
    """A step with as many processes as `training.gpus` asks for and the machine has.

    `pair_bytes` are copied to the GPU for a pair, for which a data worker takes `load_seconds`.
    """
    world = processes(training, machine)
    pairs = math.ceil(training.batch_size / world)
    loading = pairs * load_seconds / max(1, training.workers)
    if machine.device == "cpu":
        cores = max(1, training.threads - training.workers)
        computing = pairs * work.flop / (cores * unit_costs()["cpu"]["training_flop"])
        return Step(computing, 0.0, 0.0, loading, training.workers > 0)
    costs, peaks = unit_costs()["gpu"], unit_costs()["devices"][machine.device]
    optimizer = work.trained_parameters * costs["bytes_per_parameter"] / peaks["bandwidth"]
    computing = pairs * sum(pair_seconds(work, training, pair_bytes, machine.device).values()) + optimizer
    exchanging = exchanged(work, training, world).seconds(training, machine)
    return Step(computing, costs["launch_seconds"], exchanging, loading, training.workers > 0)


def processes(training: Training, machine: Machine) -> int:
    """W, the processes of one training."""
    return 1 if machine.device == "cpu" else max(1, min(training.gpus, machine.processes))


class Exchanged(NamedTuple):
    """What the processes of a training exchange in a step, by rings."""

    number: int
    """Of exchanges, one after another."""
    n_bytes: float
    """That a process sends."""

    def seconds(self, training: Training, machine: Machine) -> float:
        """How long they take: each its latency, and all of them the bytes at the speed of the slowest link."""
        latency, link = slowest_link(training, machine)
        return self.number * latency + self.n_bytes / link


def slowest_link(training: Training, machine: Machine) -> tuple[float, float]:
    """Seconds of an exchange and bytes a second between the GPUs of a training: of a node, or of several."""
    latency, link = unit_costs()["gpu"]["latency"], unit_costs()["devices"][machine.device]["link"]
    if processes(training, machine) <= machine.gpus:
        return float(latency["node"]), float(link)
    return float(latency["nodes"]), float(min(machine.network, link))


def exchanged(work: Work, training: Training, world: int) -> Exchanged:
    """The exchanges of a step with `world` processes; the one in eight steps that looks for signals is left out.

    Summed are all gradients, each codebook's counts and sums of frames, the losses and counts of all codebooks, and with
    `batch_norm: global` two sums a channel of each normalization, forward (with a count) and backward, in float64. A sum of
    S bytes takes 2 (W - 1) / W S. Gathered are the two embeddings of each pair, which takes half as much.
    """
    if world == 1:
        return Exchanged(0, 0.0)
    sums = [4 * work.trained_parameters, *(4 * book.size * (book.width + 1) for book in work.codebooks)]
    sums += [8 * len(work.codebooks)] * 2 if work.codebooks else []
    if training.batch_norm == "global":
        for width in work.normalized_widths:
            sums += [8 * (2 * width + 1), 8 * 2 * width]
    gathered = 4 * world * math.ceil(training.batch_size / world) * 2 * work.embedding_width
    return Exchanged(len(sums) + 1, (world - 1) / world * (2 * sum(sums) + gathered))
