"""An estimate as people read it: a line for each number, with its formula and whether its basis was measured or is predicted."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from resdavenet_vq.data.features import N_MELS
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.workflow.estimate.estimate import Estimate, Picture
from resdavenet_vq.workflow.estimate.speed import (
    exchanged,
    pair_seconds,
    roofline,
    slowest_link,
    unit_costs,
    value_bytes,
)


class Line(NamedTuple):
    """A line of an estimate."""

    quantity: str
    value: str
    basis: str
    formula: str


def lines(estimate: Estimate) -> Iterator[tuple[str, list[Line]]]:
    """The sections of an estimate: a title and its lines."""
    yield "preparation", _preparation(estimate)
    if estimate.lineages:
        yield "training", _training(estimate)
        yield "memory", _memory(estimate)
        yield "disk", _disk(estimate)
        yield "network", _network(estimate)
        yield "failures", _failures(estimate)


def _preparation(e: Estimate) -> list[Line]:
    cores, rows = e.machine.cores * e.machine.nodes, sum(e.rows.values())
    hours = sum(map(e.preparation_hours, e.rows))
    is_divided = bool(e.config.preparation.parts)
    used = cores if is_divided else e.machine.cores
    costs, memory = unit_costs()["preparation"], unit_costs()["memory"]
    total = sum(map(e.store_bytes, e.rows))
    largest = max(map(e.store_bytes, e.rows))
    peak = memory["preparation_process"] * (e.machine.cores + 1) + memory["preparation_row"] * max(e.rows.values())
    return [
        Line("captions", f"{rows:,}", "given", " + ".join(f"{split} {n:,}" for split, n in e.rows.items())),
        Line(
            "processor time",
            f"{hours:.2f} core hours",
            costs["basis"],
            f"{1e3 * e.preparation_seconds:.2f} ms a caption of {e.seconds:g} s and its picture of {_pixels(e.picture)}, "
            f"and {costs['list_row_ms']} ms a row for each job that reads the list",
        ),
        Line(
            "time",
            f"{duration(3600 * hours / used)}",
            costs["basis"],
            f"core hours / {used} cores of {'all nodes, in parts' if is_divided else 'one node'}, files in memory",
        ),
        Line("stores", size(total), "assumed", _store_formula(e)),
        Line("while they are made", size(total + largest), "assumed", "stores + the largest once more, in pieces"),
        Line("memory", size(peak), memory["basis"], "75 MB a process + 460 B a caption"),
    ]


def _store_formula(e: Estimate) -> str:
    itemsize = np.dtype(e.config.preparation.precision).itemsize
    if e.config.preparation.reader != "store":
        return f"reader {e.config.preparation.reader}: no features and no pictures, rows and offsets alone"
    return f"{e.frames:,} frames x {N_MELS} x {itemsize} B + pictures of {e.image_bytes / 1e3:.0f} KB + row and offsets"


def _slowest(e: Estimate) -> Lineage:
    """The lineage whose training takes longest."""
    return max(e.lineages, key=e.training_seconds)


def _training(e: Estimate) -> list[Line]:
    slowest, device = _slowest(e), e.machine.device
    training, w, step_ = e.training(slowest), e.work(slowest), e.step(slowest)
    basis = unit_costs()["cpu" if device == "cpu" else "gpu"]["basis"]
    rate = training.batch_size / step_.seconds
    lines = [
        Line(
            "work of a pair",
            f"{w.flop / 1e9:.1f} GFLOP",
            "counted",
            f"{slowest} at T = {e.padded:,}: audio {w.training_flop('audio') / 1e9:.1f}, image "
            f"{w.training_flop('image') / 1e9:.1f}, quantizers {w.quantizer_flop / 1e9:.2f}",
        ),
    ]
    if device != "cpu":
        parts = pair_seconds(w, training, e.pair_bytes, device)
        lines += [
            Line(
                "roofline",
                f"{roofline(w, device):,.0f} pairs/s",
                basis,
                f"a GPU, bfloat16: 1 / (3 x {w.forward_flop('audio') / 1e9:.2f} GFLOP / P + 32 B x "
                f"{w.outputs('image') / 1e6:.2f} M / bandwidth)",
            ),
            *(Line(f"  {name}", f"{1e6 * seconds:.0f} us a pair", basis, "") for name, seconds in parts.items()),
        ]
    hours, over = e.training_hours()
    epoch = e.epoch_seconds(slowest)
    who = "core" if device == "cpu" else "GPU"
    load = e.load_seconds(e.config.preparation.image_size)
    alone = training.batch_size / max(step_.computing, step_.launching) / e.processes
    lines += [
        Line(
            "a step",
            f"{1e3 * step_.seconds:.1f} ms",
            basis,
            f"batch {training.batch_size} on {e.processes} process(es): computing {1e3 * step_.computing:.1f}, launching "
            f"{1e3 * step_.launching:.1f}, exchanging {1e3 * step_.exchanging:.1f}, loading {1e3 * step_.loading:.1f} ms",
        ),
        Line("speed", f"{rate:,.0f} pairs/s", basis, "batch / step, which is as long as its slowest part"),
        Line(
            f"loader cores a {'process' if device == 'cpu' else 'GPU'}",
            f"{math.ceil(alone * load)}",
            basis,
            f"{alone:,.0f} pairs/s x {1e3 * load:.2f} ms; configured: {training.workers} workers",
        ),
    ]
    if (small := e.picture.reduced(256)) != e.picture and e.config.preparation.image_size is None:
        load = e.load_seconds(256)
        lines.append(
            Line(
                "  with image_size: 256",
                f"{math.ceil(alone * load)}",
                basis,
                f"pictures of {_pixels(small)} instead of {_pixels(e.picture)}: {1e3 * load:.2f} ms",
            )
        )
    lengths = [e.training(lineage).epochs for lineage in e.lineages]
    return [
        *lines,
        Line("an epoch", duration(epoch), basis, "steps + validation + checkpoint"),
        Line(
            "the longest training",
            duration(e.training_seconds(slowest)),
            basis,
            f"{slowest}: {training.epochs or training.steps} {'epochs' if training.epochs else 'steps'}",
        ),
        Line(
            "all trainings",
            f"{hours:,.0f} {who} hours" if hours >= 10 else f"{hours:.2f} {who} hours",
            basis,
            f"{len(e.lineages)} lineages, {sum(n or 0 for n in lengths):,} epochs",
        ),
        Line(
            "from first to last",
            duration(3600 * over),
            basis,
            f"at most {e.trainings_at_once} at once, each after its parent",
        ),
    ]


def _memory(e: Estimate) -> list[Line]:
    slowest, memory = _slowest(e), unit_costs()["memory"]
    w, training = e.work(slowest), e.training(slowest)
    pairs = math.ceil(training.batch_size / e.processes)
    kept = 2 * value_bytes(training.compute) * (w.outputs("audio") + w.outputs("image"))
    batches = 2 * training.workers * pairs * e.pair_bytes
    host = memory["process"] + memory["utterance"] * e.rows[training.split] + batches
    lines = [
        Line(
            "a training process",
            size(host),
            memory["basis"],
            f"{memory['process'] / 1e9:g} GB + {memory['utterance']} B a caption + batches read ahead",
        ),
        Line(
            "  of it /dev/shm",
            size(batches),
            "counted",
            f"2 x {training.workers} workers x {pairs} pairs x {e.pair_bytes / 1e3:.0f} KB",
        ),
    ]
    if e.machine.device == "cpu":
        return lines
    gpu = unit_costs()["gpu"]
    peak = gpu["reserve"] * (pairs * kept + 16 * w.trained_parameters) + gpu["context_bytes"]
    has = unit_costs()["devices"][e.machine.device]["memory"]
    return [
        Line(
            "a GPU",
            size(peak),
            gpu["basis"],
            f"of {size(has)}: {gpu['reserve']} x ({pairs} pairs x {kept / 1e6:.1f} MB of activations + 16 B x "
            f"{w.trained_parameters / 1e6:.1f} M parameters) + {gpu['context_bytes'] / 1e9:g} GB",
        ),
        *lines,
    ]


def _disk(e: Estimate) -> list[Line]:
    checkpoints = sorted(map(e.checkpoint_bytes, e.lineages), reverse=True)
    at_once = sum(checkpoints[: e.trainings_at_once]) + checkpoints[0]
    models = sum(e.work(lineage).model_bytes for lineage in e.lineages)
    return [
        Line("stores", size(sum(map(e.store_bytes, e.rows))), "assumed", "as above"),
        Line("models", size(models), "counted", f"{len(e.lineages)} lineages"),
        Line(
            "a checkpoint",
            size(checkpoints[0]),
            "counted",
            "2 x model + 8 B x trained parameters; the latest of an unfinished training stays",
        ),
        Line(
            "checkpoints at once",
            size(at_once),
            "counted",
            f"{min(e.trainings_at_once, len(checkpoints))} unfinished trainings, and one that is being replaced",
        ),
        Line(
            "a checkpoint's time",
            duration(e.checkpoint_seconds(_slowest(e))),
            unit_costs()["disk"]["basis"],
            "written at 1 GB/s, then its SHA-256; after each epoch and every ten minutes",
        ),
    ]


def _network(e: Estimate) -> list[Line]:
    slowest = _slowest(e)
    w, training, step_ = e.work(slowest), e.training(slowest), e.step(slowest)
    rate = training.batch_size / step_.seconds * min(e.trainings_at_once, len(e.lineages))
    of_pair = 2 * e.frames * N_MELS + e.image_bytes
    between = "nodes" if e.processes > e.machine.gpus else "GPUs of a node"
    lines = [
        Line(
            "reading the store",
            f"{size(rate * of_pair)}/s",
            unit_costs()["gpu"]["basis"],
            f"all trainings at once x {of_pair / 1e3:.0f} KB a pair, from memory where a node's holds the store",
        )
    ]
    if e.processes > 1:
        sent, (latency, link) = exchanged(w, training, e.processes), slowest_link(training, e.machine)
        sums = " and of batch normalization" if training.batch_norm == "global" else ""
        lines += [
            Line(
                f"between {between}",
                f"{size(sent.n_bytes)} a step",
                "counted",
                f"sums of gradients, of codes{sums}, 2 (W - 1) / W x their bytes, W = {e.processes}",
            ),
            Line(
                "  exchanges",
                f"{sent.number} a step",
                "counted",
                "gradients, embeddings, one a codebook and two for all"
                + (f", two for each of {len(w.normalized_widths)} batch normalizations" if sums else ""),
            ),
            Line(
                "  their time",
                f"{1e3 * step_.exchanging:.1f} ms a step",
                unit_costs()["gpu"]["basis"],
                f"exchanges x {1e6 * latency:g} us + bytes / {link / 1e9:g} GB/s",
            ),
        ]
    return lines


def _failures(e: Estimate) -> list[Line]:
    slowest = _slowest(e)
    lost = e.lost_seconds(slowest)
    parts, rows = e.config.preparation.parts, e.rows[e.config.training.split]
    per_part = e.config.preparation.rows_per_part if e.config.training.split in parts else None
    again = (per_part or rows) * e.preparation_seconds / 3600
    unit = "core" if e.machine.device == "cpu" else "GPU"
    return [
        Line(
            "a killed training",
            f"{duration(lost)} at most",
            unit_costs()["gpu"]["basis"],
            f"since the last checkpoint, half of it on average; x {e.processes} = {lost * e.processes / 3600:.2f} {unit} hours",
        ),
        Line("a preempted training", "one step", "counted", "SIGTERM saves; other lineages go on"),
        Line(
            "a killed preparation",
            f"{again:.2f} core hours",
            unit_costs()["preparation"]["basis"],
            f"a part of {per_part:,} rows" if per_part else "the whole training split; with preparation.parts one part",
        ),
    ]


def _pixels(picture: Picture) -> str:
    return f"{picture.width} x {picture.height}"


def size(n: float) -> str:
    """Bytes with three digits and a decimal unit."""
    for unit in ("B", "KB", "MB", "GB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} TB" if n < 1000 else f"{n:,.0f} TB"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours."""
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (1e99, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.1f} {unit}"
    raise AssertionError
