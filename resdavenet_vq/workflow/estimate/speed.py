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
    """Sums over the processes, after both."""
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
    link = peaks["link"] if world <= machine.gpus else min(machine.network, peaks["link"])
    exchanging = float(exchanged_bytes(work, world) / link)
    return Step(computing, costs["launch_seconds"], exchanging, loading, training.workers > 0)


def processes(training: Training, machine: Machine) -> int:
    """W, the processes of one training."""
    return 1 if machine.device == "cpu" else max(1, min(training.gpus, machine.processes))


def exchanged_bytes(work: Work, world: int) -> float:
    """Bytes that a process sends in a step: gradients and the codebooks' sums, by a ring over W processes."""
    sums = sum(codebook.size * (codebook.width + 1) for codebook in work.codebooks)
    return 2 * (world - 1) / world * 4 * (work.trained_parameters + sums)
