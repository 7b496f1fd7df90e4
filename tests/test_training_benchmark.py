"""What `benchmarks/training.py` does on a GPU, without one: steps that must not wait are tried as they are by default, too."""

import importlib
import json
import sys
from argparse import Namespace
from pathlib import Path
from unittest import mock

import pytest
import torch
from waiting import NothingWaits

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
OPTIONS = Namespace(size="small", frames=32, batch=2, workers=0, threads=1)


@pytest.fixture(scope="module")
def benchmark():
    with mock.patch.object(sys, "path", [*sys.path, str(FOLDER)]):
        yield importlib.import_module("training")


@pytest.fixture(scope="module")
def path(benchmark, tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "train.h5"
    benchmark.write_store(path, 4, OPTIONS.frames, 80)
    return path


@pytest.mark.parametrize("arm", ["float32", "bfloat16"])
@pytest.mark.parametrize("deterministic", [True, False])
def test_a_step_that_waits_is_found_and_none_does(benchmark, path, monkeypatch, arm, deterministic):
    """With operations that wait in place of CUDA's own detector, and what a GPU is told by `deterministic`."""
    arithmetic, told = benchmark.compute.arithmetic, []

    def as_on_a_gpu(settings, device):
        told.append((settings.precision, settings.deterministic))
        return arithmetic(settings, torch.device("cuda"))

    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    monkeypatch.setattr(benchmark.compute, "arithmetic", as_on_a_gpu)
    monkeypatch.setattr(benchmark, "waiting_is_an_error", lambda _: NothingWaits())
    tried = benchmark.check_waiting(arm, path, OPTIONS, deterministic=deterministic)
    assert tried == f"{arm}, deterministic: {str(deterministic).lower()}"
    assert told == [(arm, deterministic)]
    update = benchmark.update
    monkeypatch.setattr(benchmark, "update", lambda *args: torch.tensor(bool(update(*args))))
    with pytest.raises(AssertionError, match="waits for the GPU"):
        benchmark.check_waiting(arm, path, OPTIONS, deterministic=deterministic)


def test_cuda_is_told_to_find_them_and_to_stop(benchmark, monkeypatch):
    modes = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    with benchmark.waiting_is_an_error(torch.device("cpu")):
        assert not modes
    with (
        pytest.raises(RuntimeError, match="called a synchronizing"),
        benchmark.waiting_is_an_error(torch.device("cuda")),
    ):
        raise RuntimeError("called a synchronizing CUDA operation")
    assert modes == ["error", "default"]


class Here:
    """A pool of processes that is this process."""

    def __init__(self, *_, **__):
        self.result = None

    __enter__, __exit__ = lambda self: self, lambda *_: None

    def submit(self, function, *arguments):
        value = function(*arguments)
        self.result = lambda: value
        return self


def test_on_a_gpu_every_arm_is_tried_both_ways_before_it_is_timed(benchmark, monkeypatch, tmp_path):
    numbers = {"pairs_per_second": 1.0, "data_wait": 0.0, "peak_mebibytes": 1.0}
    order = []

    def measure(arm, path, options):
        order.append(arm)
        return {"cost": benchmark.Cost(1.0, 1.0), **numbers}

    def check_waiting(arm, path, options, *, deterministic):
        order.append((arm, deterministic))
        return f"{arm} {deterministic}"

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H200")
    for name, value in {"measure": measure, "check_waiting": check_waiting, "ProcessPoolExecutor": Here}.items():
        monkeypatch.setattr(benchmark, name, value)
    monkeypatch.setattr(benchmark, "write", lambda name, result: (tmp_path / name).write_text(json.dumps(result)))
    monkeypatch.setattr(sys, "argv", ["training.py", "--frames", "8", "--batch", "1", "--rounds", "1"])
    benchmark.main()
    arms = ["float32", "bfloat16", "compiled"]
    assert order == [(arm, deterministic) for arm in arms for deterministic in (True, False)] + ["2020", *arms]
    result = json.loads((tmp_path / "training_h200").read_text())
    assert result["steps_without_waiting"] == [f"{arm} {flag}" for arm in arms for flag in (True, False)]
