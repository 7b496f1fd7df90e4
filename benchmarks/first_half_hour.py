"""The first half hour on a GPU, in four stages of eight to ten minutes: is it right, how fast, why, and is it fed?

    PYTHONPATH=. python benchmarks/first_half_hour.py --stages correct --out correct.json --deadline 540
    PYTHONPATH=. python benchmarks/first_half_hour.py --stages ladder --out ladder.json --deadline 540
    PYTHONPATH=. python benchmarks/first_half_hour.py --stages profile --out profile.json --deadline 480
    PYTHONPATH=. python benchmarks/first_half_hour.py --stages loader --out loader.json --deadline 480

Predictions are written first, then each number as soon as it is measured, with its prediction beside it. Every measurement runs in a
fresh process with a limit of its own, so that a crash or a hang costs one number; after `--deadline` seconds nothing is begun and
what runs is ended. Needs the package's checkout and, beside PyTorch and torchvision, numpy, h5py, pillow, pydantic, pyyaml, safetensors,
scipy, soundfile, soxr, tensorboard, requests, filelock and tqdm; for the tests of `correct` pytest and hypothesis.
`--size toy` is for a CPU: small networks, few steps. The exit status is 1 where something is wrong or failed.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import gpu_arms as arms
import torch
from training import QUANTIZERS, SIZES

from resdavenet_vq.files import write_json
from resdavenet_vq.workflow.estimate.speed import Machine, pair_seconds, roofline, step, unit_costs
from resdavenet_vq.workflow.estimate.work import Work, work

STAGES = ("correct", "ladder", "profile", "loader")
SHORTEST = 2.0
"""Seconds before the deadline in which nothing is begun."""


PAIR_BYTES = 3.1e5
"""Bytes of a pair in a batch at the published sizes."""

SUMS = {"deterministic": 205.0, "spread": 3.0, "atomic": 3.0}
"""Microseconds a pair: half of 1,024 frames are padding, which one warp adds up one by one, 0.4 us each."""

SEARCHES = {"float32": 12.0, "two_stages": 4.0}
"""Microseconds for 1,024 frames of 256 channels and 1,024 codes: 0.54 GFLOP at 50 TFLOP/s, or a third of it."""


RIGHT = {"passed": True}


class Arm(NamedTuple):
    """A measurement: a function of `gpu_arms`, its arguments, its limit in seconds, and what is predicted of it."""

    stage: str
    name: str
    function: Callable[..., arms.Numbers]
    arguments: dict[str, Any]
    limit: float
    predicted: dict[str, Any]


def arm(
    stage: str, function: Callable[..., arms.Numbers], predicted: dict[str, Any], limit: float = 90, **arguments: Any
) -> Arm:
    """A measurement, with the name that its arguments give it."""
    words = (key if value is True else str(value) for key, value in arguments.items() if value is not False)
    return Arm(stage, " ".join([function.__name__, *words]), function, arguments, limit, predicted)


def plan(size: str, device: str) -> list[Arm]:
    """All measurements, in an order in which the first ones of a stage decide most."""
    scale = arms.SCALES[size]
    w = work(SIZES[scale.size], QUANTIZERS, scale.frames)
    is_toy = size == "toy"
    return [
        *_correct(device, is_toy),
        *_ladder(w, device, is_toy),
        *_profile(w, device, is_toy),
        *_loader(w, device, is_toy),
    ]


def _correct(device: str, is_toy: bool) -> Iterator[Arm]:
    peaks = unit_costs()["devices"][device]
    exact = {"copy_TB_s": peaks["bandwidth"] / 1e12}
    exact |= {f"{p}_TFLOP_s": peaks[p] / 1e12 for p in ("float32", "tf32", "bfloat16")}
    yield arm("correct", arms.ceilings, exact)
    yield arm("correct", arms.small_network, RIGHT)
    yield arm("correct", arms.codes, {"wrong": 0})
    yield arm("correct", arms.similarity, RIGHT)
    arithmetics = [("float32", False), ("tf32", False), ("bfloat16", False), ("bfloat16", True)]
    for precision, compiled in arithmetics[: 1 if is_toy else 4]:
        for deterministic in (True, False):
            chosen = {"precision": precision, "compiled": compiled, "deterministic": deterministic}
            yield arm("correct", arms.waiting, RIGHT, 240 if compiled else 60, **chosen)
    yield arm("correct", arms.nondeterministic, {"warnings": []})
    for compiled in (False,) if is_toy else (False, True):
        yield arm("correct", arms.resume, RIGHT, 240, compiled=compiled)
    yield arm("correct", arms.tests, RIGHT, 300)


def _ladder(w: Work, device: str, is_toy: bool) -> Iterator[Arm]:
    first = [(64, "bfloat16", True, False), (64, "bfloat16", False, False), (64, "bfloat16", True, True)]
    first.append((64, "bfloat16", False, True))
    rungs = first + [(n, "bfloat16", c, d) for n in (256, 512) for c in (True, False) for d in (True, False)]
    rungs += [(n, p, False, d) for p in ("tf32", "float32") for n in (64, 256, 512) for d in (True, False)]
    for batch, precision, compiled, deterministic in [(4, "float32", False, True)] if is_toy else rungs:
        seconds = _step_seconds(w, device, batch, precision, compiled=compiled)
        kept = 2 * (2 if precision == "bfloat16" else 4) * (w.outputs("audio") + w.outputs("image"))
        memory = unit_costs()["gpu"]["reserve"] * (batch * kept + 16 * w.trained_parameters)
        predicted = {"pairs_per_s": batch / seconds, "step_ms": 1e3 * seconds, "peak_GB": memory / 1e9}
        chosen = {"batch": batch, "precision": precision, "compiled": compiled, "deterministic": deterministic}
        yield arm("ladder", arms.ladder, predicted, 240 if compiled else 60, **chosen)


def _profile(w: Work, device: str, is_toy: bool) -> Iterator[Arm]:
    peaks = unit_costs()["devices"][device]
    parts = pair_seconds(w, arms.settings(64, "bfloat16", compiled=True), PAIR_BYTES, device)
    predicted = {"us_a_pair": {part: round(1e6 * seconds, 1) for part, seconds in parts.items()}}
    for compiled in (False,) if is_toy else (False, True):
        yield arm("profile", arms.kernels, predicted, 200, compiled=compiled)
    for how, microseconds in SUMS.items():
        yield arm("profile", arms.sums, {"us_a_pair": microseconds}, how=how)
    for how in ("conv2d", "conv1d", "channels_last"):
        yield arm("profile", arms.convolution, {"TFLOP_s": 0.6 * peaks["bfloat16"] / 1e12}, how=how)
    for how in ("native",) if is_toy else ("native", "compiled"):
        yield arm("profile", arms.batch_norm, {"TB_s_of_8_passes": peaks["bandwidth"] / 1e12}, how=how)
    for how, microseconds in SEARCHES.items():
        yield arm("profile", arms.search, {"us_for_1024_frames": microseconds, "same": 1.0}, how=how)
    for batch in (8, 64):
        seconds = _step_seconds(w, device, batch, "bfloat16", compiled=False)
        yield arm("profile", arms.graph, {"pairs_per_s": batch / seconds}, batch=batch)


def _loader(w: Work, device: str, is_toy: bool) -> Iterator[Arm]:
    loading = unit_costs()["loading"]
    a_core = 1e3 / (loading["pair_ms"] + loading["megapixel_ms"] * 256**2 / 1e6)
    for workers in (1,) if is_toy else (4, 8, 12, 14):
        yield arm("loader", arms.loading, {"pairs_per_s": round(workers * a_core)}, workers=workers)
    workers = 1 if is_toy else 12
    for name in ("2020", "float32") if is_toy else ("2020", "float32", "bfloat16", "compiled"):
        is_compiled = name == "compiled"
        precision = "bfloat16" if name in {"bfloat16", "compiled"} else "float32"
        speed = 64 / _step_seconds(w, device, 64, precision, compiled=is_compiled)
        predicted = {"data_wait": 0.05} | ({} if name == "2020" else {"pairs_per_second": speed})
        yield arm("loader", arms.whole_arm, predicted, 200, arm=name, workers=workers)
    for compiled in (False,) if is_toy else (True, False):
        yield arm("loader", arms.fed, {"idle": 0.05}, 200, workers=workers, compiled=compiled)
    yield arm("loader", arms.lineages, RIGHT, 150)


def _step_seconds(w: Work, device: str, batch: int, precision: str, *, compiled: bool) -> float:
    """Predicted seconds of a GPU for a step."""
    chosen = arms.settings(batch, precision, compiled=compiled)
    return step(w, chosen, Machine(device), PAIR_BYTES, 0.0).computing


def in_a_process(one: Arm, size: str, seconds: float) -> arms.Numbers:
    """The numbers of a measurement, or `error`; it and all that it has started is killed after so many seconds."""
    here, there = arms.CONTEXT.Pipe(duplex=False)
    process = arms.CONTEXT.Process(target=_measure, args=(there, one, size))
    process.start()
    there.close()
    try:
        numbers = here.recv() if here.poll(seconds) else {"error": f"ended after {seconds:.0f} s"}
    except EOFError:
        process.join()
        numbers = {"error": f"the process ended with status {process.exitcode}"}
    if process.is_alive() and "error" in numbers:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            process.kill()
    process.join()
    return numbers


def _measure(connection: Any, one: Arm, size: str) -> None:
    os.setsid()
    torch.set_num_threads(1 if size == "toy" else torch.get_num_threads())
    try:
        numbers = one.function(arms.SCALES[size], **one.arguments)
    except Exception as e:  # noqa: BLE001 - whatever it is, it is the result
        numbers = {"error": f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"[:400]}
    connection.send(numbers)


def conditions(size: str) -> dict[str, Any]:
    """What measured: asked of another process, as this one must not touch the GPU before it starts others."""
    about = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "size": size, "python": platform.python_version()}
    about |= {"torch": torch.__version__, "cuda": torch.version.cuda, "cores": os.cpu_count()}
    with arms.CONTEXT.Pool(1) as pool:
        return about | {"device": pool.apply(_device_name)}


def _device_name() -> str:
    if not torch.cuda.is_available():
        return "cpu"
    return f"{torch.cuda.get_device_name()}, cuDNN {torch.backends.cudnn.version()}"


def shown(numbers: dict[str, Any]) -> str:
    """Numbers in one line; long lists by their length."""
    texts = []
    for key, value in numbers.items():
        short = (
            f"{value:.4g}" if isinstance(value, float) else f"{len(value)} rows" if isinstance(value, list) else value
        )
        texts.append(f"{key} {short}")
    return ", ".join(texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--size", choices=arms.SCALES, default="full")
    parser.add_argument("--device", choices=list(unit_costs()["devices"]), default="h200", help="of the predictions")
    parser.add_argument("--deadline", type=float, default=540, help="seconds")
    parser.add_argument("--out", type=Path, required=True, help="a JSON file, written after every measurement")
    options = parser.parse_args()
    begun = time.monotonic()
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # or Python 3.12's server of processes would not find the next
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # to ask whether there is a GPU does not begin CUDA
    # PyTorch is imported once; on a GPU not its compiler, which may look for one
    arms.CONTEXT.set_forkserver_preload(["gpu_arms", *(["torch._dynamo"] if options.size == "toy" else [])])
    chosen = [one for one in plan(options.size, options.device) if one.stage in options.stages]
    scale = arms.SCALES[options.size]
    roof = roofline(work(SIZES[scale.size], QUANTIZERS, scale.frames), options.device)
    result: dict[str, Any] = conditions(options.size) | {
        "predictions_for": options.device,
        "roofline_pairs_per_s": roof,
        "arms": [{"stage": one.stage, "name": one.name, "predicted": one.predicted} for one in chosen],
    }
    write_json(options.out, result)
    print(f"{result['device']}, torch {torch.__version__}; predictions for {options.device}, none of them measured")
    for row, one in zip(result["arms"], chosen, strict=True):
        left = options.deadline - (time.monotonic() - begun)
        started = time.monotonic()
        late = {"error": "not begun: the deadline was near"}
        row["measured"] = in_a_process(one, options.size, min(one.limit, left)) if left > SHORTEST else late
        row["seconds"] = round(time.monotonic() - started, 1)
        write_json(options.out, result)
        print(f"{one.stage:8} {one.name}  ({row['seconds']} s)\n    predicted {shown(one.predicted)}", flush=True)
        print(f"    measured  {shown(row['measured'])}", flush=True)
    bad = [
        row["name"] for row in result["arms"] if "error" in row["measured"] or row["measured"].get("passed") is False
    ]
    print(f"{len(chosen) - len(bad)} of {len(chosen)} measured; wrong or missing: {', '.join(bad) or 'none'}")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
