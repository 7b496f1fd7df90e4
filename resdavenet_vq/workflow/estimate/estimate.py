"""The numbers of a run on a machine: sizes of stores and checkpoints, seconds of steps, epochs and trainings.

Every number is a formula over the configuration and the unit costs of `unit_costs.yaml`. Scores, figures and the report are not
estimated.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from resdavenet_vq.config import Config, SpokenScenes, Training
from resdavenet_vq.corpus.reader import read
from resdavenet_vq.data import store_format
from resdavenet_vq.data.features import N_MELS
from resdavenet_vq.errors import InputError
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.workflow.estimate.speed import (
    Machine,
    Step,
    processes,
    step,
    unit_costs,
)
from resdavenet_vq.workflow.estimate.work import Work, work
from resdavenet_vq.workflow.plan import Plan
from resdavenet_vq.workflow.trainings import training_of

FRAMES_PER_SECOND = 100
KILL_SECONDS = 600
"""The longest time between two checkpoints: CHECKPOINT_SECONDS of `training.train`, which imports PyTorch."""


class Picture(NamedTuple):
    """Mean size of the corpus's pictures in pixels."""

    width: int
    height: int

    @property
    def megapixels(self) -> float:
        """Millions of pixels."""
        return self.width * self.height / 1e6

    def reduced(self, side: int | None) -> Picture:
        """With a shorter side of at most `side`, as `preparation.image_size` does."""
        shorter = min(self)
        if side is None or side >= shorter:
            return self
        return Picture(*(round(length * side / shorter) for length in self))


@dataclass(frozen=True)
class Estimate:
    """The numbers of a configuration on a machine. `rows` are those of each split that the configuration uses."""

    config: Config
    machine: Machine
    rows: Mapping[str, int]
    seconds: float
    """Mean length of a caption."""
    picture: Picture

    # -- the corpus, prepared -----------------------------------------------------------------------------

    @cached_property
    def frames(self) -> int:
        """Mean frames of an utterance, cut or not."""
        return min(round(self.seconds * FRAMES_PER_SECOND), self.config.preparation.max_frames)

    @cached_property
    def padded(self) -> int:
        """Frames that an utterance is padded to in training."""
        if self.config.training.pad_to == "max_frames":
            return self.config.preparation.max_frames
        longest = min(float(unit_costs()["corpora"]["longest"] * self.frames), self.config.preparation.max_frames)
        return 16 * math.ceil(longest / 16)

    def images(self, split: str) -> int:
        """The number of pictures of a split."""
        captions: int = unit_costs()["corpora"][self.config.corpus.layout]["captions"]
        return math.ceil(self.rows[split] / captions)

    @cached_property
    def image_bytes(self) -> float:
        """Mean bytes of a stored picture."""
        disk, stored = unit_costs()["disk"], self.picture.reduced(self.config.preparation.image_size)
        is_reduced = stored != self.picture
        return float(1e6 * stored.megapixels * disk["reduced_picture" if is_reduced else "picture"])

    def store_bytes(self, split: str) -> int:
        """Bytes of a split's store."""
        disk, preparation = unit_costs()["disk"], self.config.preparation
        n, images = self.rows[split], self.images(split)
        lengths = {
            "logmel": n * self.frames,
            "manifest": n * disk["row_bytes"],
            "ids": n * disk["id_bytes"],
            "image": round(images * self.image_bytes),
            "image_ids": images * disk["id_bytes"],
        }
        return store_bytes(n, images, lengths, preparation.precision, preparation.reader)

    @property
    def preparation_seconds(self) -> float:
        """Processor seconds for a caption and its share of a picture."""
        costs, pixels = unit_costs()["preparation"], self.picture.megapixels
        picture = costs["megapixel_ms"] * pixels
        if self.picture.reduced(self.config.preparation.image_size) != self.picture:
            picture += costs["reduce_megapixel_ms"] * pixels
        share = 1 / unit_costs()["corpora"][self.config.corpus.layout]["captions"]
        return float(1e-3 * (costs["pair_ms"] + costs["audio_second_ms"] * self.seconds + picture * share))

    def preparation_hours(self, split: str) -> float:
        """Core hours for a split: each of its jobs reads the whole list, then all its captions once."""
        jobs = self.config.preparation.parts.get(split, 1)
        listing = 1e-3 * unit_costs()["preparation"]["list_row_ms"] * jobs
        return float(self.rows[split] * (listing + self.preparation_seconds) / 3600)

    def load_seconds(self, image_size: int | None) -> float:
        """Processor seconds of a data worker for a pair, with pictures stored at this size."""
        costs = unit_costs()["loading"]
        return float(1e-3 * (costs["pair_ms"] + costs["megapixel_ms"] * self.picture.reduced(image_size).megapixels))

    # -- trainings ----------------------------------------------------------------------------------------

    @cached_property
    def plan(self) -> Plan:
        """The files of the run."""
        return Plan(self.config)

    @property
    def pair_bytes(self) -> float:
        """Bytes of a pair in a batch."""
        itemsize = np.dtype(self.config.preparation.precision).itemsize
        return float(N_MELS * self.padded * itemsize + 3 * self.config.model.image.crop**2)

    def work(self, lineage: Lineage) -> Work:
        """The work of a lineage's last stage for a padded pair."""
        return work(self.config.model, lineage.quantizers, self.padded)

    def step(self, lineage: Lineage) -> Step:
        """A step of a lineage's training."""
        load = self.load_seconds(self.config.preparation.image_size)
        return step(self.work(lineage), self.training(lineage), self.machine, self.pair_bytes, load)

    def training(self, lineage: Lineage) -> Training:
        """The settings of a lineage's training."""
        return training_of(self.config.training, lineage)

    def epoch_seconds(self, lineage: Lineage) -> float:
        """Seconds of an epoch: its steps, validation, and a checkpoint."""
        training = self.training(lineage)
        steps = math.ceil(self.rows[training.split] / training.batch_size)
        validation = self.rows[training.validation_split] * self.forward_seconds(lineage)
        return steps * self.step(lineage).seconds + validation + self.checkpoint_seconds(lineage)

    def forward_seconds(self, lineage: Lineage) -> float:
        """Seconds for a pair in true float32, as validation and encoding compute."""
        w = work(self.config.model, lineage.quantizers, self.frames)
        flop = w.forward_flop("audio") + w.forward_flop("image") + w.quantizer_flop
        if self.machine.device == "cpu":
            return float(flop / unit_costs()["cpu"]["training_flop"])
        rate = unit_costs()["devices"][self.machine.device]["float32"]
        return float(flop / (rate * unit_costs()["gpu"]["efficiency"]["float32"]))

    def training_seconds(self, lineage: Lineage) -> float:
        """Seconds of a lineage's own training, to its last epoch."""
        training = self.training(lineage)
        pairs = self.rows[training.split]
        epochs = training.epochs or (training.steps or 0) / math.ceil(pairs / training.batch_size)
        starts = unit_costs()["gpu"]["compile_seconds"] * training.compute.compile * (self.machine.device != "cpu")
        return float(epochs * self.epoch_seconds(lineage) + starts)

    def checkpoint_bytes(self, lineage: Lineage) -> int:
        """Bytes of a checkpoint: the model, the best one so far, and two moments of every trained weight."""
        w = self.work(lineage)
        return 2 * w.model_bytes + 8 * w.trained_parameters

    def checkpoint_seconds(self, lineage: Lineage) -> float:
        """Seconds to write a checkpoint and compute its SHA-256; the GPUs wait."""
        disk = unit_costs()["disk"]
        return float(self.checkpoint_bytes(lineage) * (1 / disk["write"] + 1 / disk["sha256"]))

    def lost_seconds(self, lineage: Lineage) -> float:
        """The most that a kill costs each GPU of a training: the time since its last checkpoint."""
        return min(KILL_SECONDS, self.epoch_seconds(lineage))

    @property
    def processes(self) -> int:
        """Processes of one training."""
        return processes(self.config.training, self.machine)

    @cached_property
    def lineages(self) -> list[Lineage]:
        """The lineages to train, ancestors included."""
        return list(self.plan.trained.values())

    @property
    def trainings_at_once(self) -> int:
        """The most trainings at the same time."""
        return max(1, self.machine.processes // self.processes)

    def training_hours(self) -> tuple[float, float]:
        """GPU hours of all trainings, and hours from the first to the last, each after its parent."""
        seconds = {lineage: self.training_seconds(lineage) for lineage in self.lineages}
        parents = {lineage: self.plan.trainings.parent(lineage.folder) for lineage in self.lineages}
        over = _schedule(seconds, parents, self.trainings_at_once)
        return sum(seconds.values()) * self.processes / 3600, over / 3600


def store_bytes(n_utterances: int, n_images: int, lengths: Mapping[str, int], precision: str, reader: str) -> int:
    """Bytes of a store of so many utterances and images; `lengths` are the rows, frames or bytes, of its items in all.

    Exact but for the structure of HDF5, some kilobytes.
    """
    inside = store_format.datasets_inside(reader)
    own = {name: length for name, length in lengths.items() if name in inside}
    datasets = store_format.layout(n_utterances, n_images, own, np.dtype(precision), reader)
    return store_format.HEADER_LENGTH + sum(math.prod(shape) * dtype.itemsize for shape, dtype in datasets.values())


def _schedule(seconds: Mapping[Lineage, float], parents: Mapping[Lineage, Lineage | None], at_once: int) -> float:
    """The end of the last training, where a free place takes the one with the longest way to the end behind it."""
    children: dict[Lineage | None, list[Lineage]] = {}
    for lineage, parent in parents.items():
        children.setdefault(parent if parent in seconds else None, []).append(lineage)

    def way(lineage: Lineage) -> float:
        return seconds[lineage] + max(map(way, children.get(lineage, ())), default=0.0)

    ready, now, number = [*children.get(None, ())], 0.0, 0
    running: list[tuple[float, int, Lineage]] = []
    while ready or running:
        ready.sort(key=way)
        while ready and len(running) < at_once:
            lineage = ready.pop()
            heapq.heappush(running, (now + seconds[lineage], number := number + 1, lineage))
        now, _, ended = heapq.heappop(running)
        ready += children.get(ended, ())
    return now


def splits_of(config: Config) -> list[str]:
    """The splits that a configuration uses, the training split first."""
    splits = [config.training.split, config.training.validation_split]
    splits += [config.retrieval.split] if config.retrieval else []
    splits += [*config.abx.splits, *([config.words.split, config.words.held_out_split] if config.words else ())]
    return list(dict.fromkeys(splits))


def rows_of(config: Config, given: Mapping[str, int]) -> dict[str, int]:
    """The rows of each split that a configuration uses: those given, those that it makes, or those of the corpus's lists.

    Raises InputError for a given split that the corpus does not have, and for a list that is not there.
    """
    if unknown := sorted(set(given) - set(config.corpus.splits)):
        raise InputError(f"--rows: the corpus has no split {unknown[0]!r}; known are {', '.join(config.corpus.splits)}")
    made = config.corpus.pairs | config.corpus.word_lists if isinstance(config.corpus, SpokenScenes) else {}
    rows = {}
    for split in splits_of(config):
        if split in (known := {**made, **given}):
            rows[split] = known[split]
            continue
        try:
            rows[split] = read(config.corpus, split).rows
        except InputError as e:
            raise InputError(f"{e}\nWithout the list of a split give its number of rows: --rows {split}=N") from None
    return rows


def mean_sizes(config: Config, seconds: float | None, picture: tuple[int, int] | None) -> tuple[float, Picture]:
    """Seconds of a caption and pixels of a picture: those given, or what is assumed of the corpus's layout."""
    corpus = config.corpus
    assumed = unit_costs()["corpora"][corpus.layout]
    side = getattr(corpus, "image_size", None)
    width, height = picture or ((side, side) if side else (assumed["width"], assumed["height"]))
    return float(seconds or assumed["seconds"]), Picture(width, height)
