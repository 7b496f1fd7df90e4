"""Several processes on one machine, over gloo: the method does not depend on how many they are."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import nullcontext
from functools import cache
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn
from training_child import FRESH, MODEL, TRAINING, Child, float64, start_forkserver, write_store

from resdavenet_vq import config
from resdavenet_vq.data.dataset import Batch, training_batches
from resdavenet_vq.data.store import Store
from resdavenet_vq.errors import InputError
from resdavenet_vq.training import compute, distributed
from resdavenet_vq.training.state import Run
from resdavenet_vq.training.step import quantizers_of, step_losses, update


def environment(rank, world, port):
    numbers = {"RANK": rank, "WORLD_SIZE": world, "LOCAL_RANK": rank, "MASTER_PORT": port}
    return {"MASTER_ADDR": "127.0.0.1"} | {name: str(number) for name, number in numbers.items()}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def in_ranks(world, do, *args):
    """The processes' exit statuses after each has called do(rank, *args) among its like."""
    start_forkserver()
    port = free_port()
    ranks = [FRESH.Process(target=_among, args=(environment(r, world, port), do, r, *args)) for r in range(world)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(300)
    return [rank.exitcode for rank in ranks]


def _among(environment, do, *args):
    os.environ.update(environment)
    torch.set_num_threads(1)
    with distributed.processes():
        do(*args)


def batches_of(store, workers=0, **place):
    return training_batches(
        store, MODEL.image, batch_size=8, pad_to="batch", pad_value=0.0, seed=1, workers=workers, **place
    )


def take_steps(rank, path, out, workers, epochs, recipe):
    """Three steps an epoch, the last of a pair; writes losses, totals, all of the model, and the batches.

    With restarts of dead codes there is one in every step but the first, and one code that is dead in the second epoch;
    features are normalised and masked then.
    """
    model, training = MODEL, TRAINING
    if recipe.dead_codes == "restart":
        model = MODEL.model_copy(update={"audio": MODEL.audio.model_copy(update={"features": "normalized"})})
        training = TRAINING.model_copy(update={"augmentation": "masks"})
    store = Store(path)
    n_pairs = int((store.image_index >= 0).sum())
    run = Run.start(model, (2, 3), recipe, training, None, torch.device("cpu"))
    losses, samples = [], {}
    for epoch in range(1, epochs + 1):
        if recipe.dead_codes == "restart" and epoch == 2:
            for q in quantizers_of(run.model).values():
                q.codebook[11], q.cluster_size[11], q.embedding_sum[11] = -100, 1e-4, -1e-2
        batches = batches_of(store, workers, epoch=epoch, rank=rank, world=distributed.world())
        for step, batch in enumerate(batches):
            n = min(8, n_pairs - 8 * step)
            with mock.patch("resdavenet_vq.training.codebooks.RESTART_EVERY", 1):
                result = step_losses(run.model, batch, n, (epoch, step), recipe, training)
            assert update(run.model, run.optimizer, result)
            run.totals.add(result, n)
            losses.append(result.parts.numpy())
            for i, sample in enumerate(zip(*batch, strict=True)):
                place = f"epoch {epoch} item {8 * step + rank + i * distributed.world():02}"
                samples |= {f"{place} {field}": x.numpy() for field, x in zip(Batch._fields, sample, strict=True)}
    distributed.check_agreement(run.shared_tensors())
    run.totals.collect()
    parameters = {f"parameter {name}": x.detach().numpy() for name, x in run.model.named_parameters()}
    norms = {f"norm {name}": x.numpy() for name, x in run.model.named_buffers() if "running" in name}
    codebooks = {f"codebook {name}": q.codebook.numpy() for name, q in quantizers_of(run.model).items()}
    counts = {f"counts {name}": x.numpy() for name, x in run.totals.counts.items()}
    results = {"losses": np.array(losses), **parameters, **norms, **codebooks, **counts} if rank == 0 else {}
    np.savez(f"{out}.{recipe.dead_codes}.{rank}.npz", **results, **samples)


def take_steps_of_both_recipes(rank, path, out, workers, epochs, is_exact):
    torch.use_deterministic_algorithms(mode=True)
    with float64() if is_exact else nullcontext():
        for dead_codes in ("keep", "restart") if is_exact else ("keep",):
            take_steps(rank, path, out, workers, epochs, config.Recipe(dead_codes=dead_codes))
    torch.use_deterministic_algorithms(mode=False)


def results_of(out, world, dead_codes):
    """What all processes have written, together."""
    values = {}
    for rank in range(world):
        with np.load(f"{out}.{dead_codes}.{rank}.npz") as f:
            values |= dict(f)
    return values


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A store of 17 pairs, and the results on it of a single process that reads its data itself, by length and type."""
    folder = tmp_path_factory.mktemp("alone")
    write_store(folder / "train.h5", 18, 0)

    @cache
    def results(epochs, is_exact):
        out = folder / f"{epochs}.{is_exact}"
        take_steps_of_both_recipes(0, folder / "train.h5", out, 0, epochs, is_exact)
        return {recipe: results_of(out, 1, recipe) for recipe in (("keep", "restart") if is_exact else ("keep",))}

    return folder / "train.h5", results


EXACT = {"losses": 1e-11, "parameter": 1e-11, "norm": 1e-11, "codebook": 1e-11, "counts": 0, "epoch": 0}
"""In float64. The least that is asked is 1e-5 of losses and 1e-6 of codebooks."""

ROUNDED = {"losses": 1e-5, "parameter": 1e-5, "norm": 1e-5, "codebook": 3e-6, "counts": 0, "epoch": 0}
"""In float32. With restarts, its rounding decides in the third epoch which code is nearest."""

CORE = {(4, 1, 2, True), (1, 2, 5, True), (4, 4, 2, True), (1, 2, 5, False)}


@pytest.mark.parametrize(
    ("workers", "world", "epochs", "is_exact"),
    [
        pytest.param(*case, marks=[] if case in CORE else pytest.mark.thorough)
        for case in sorted(CORE | {(w, n, 14, exact) for w in (0, 1, 4) for n in (1, 2, 4) for exact in (True, False)})
    ],
)
def test_as_many_processes_and_data_workers_as_one_likes(alone, tmp_path, workers, world, epochs, is_exact):
    """17 pairs in batches of 8: of the last batch's single pair all processes but one have no part.

    Batch normalization is that of training. 5 epochs are 15 steps, and 14, thoroughly, 42. Differences are of the
    largest value of a tensor, if that is above 1.
    """
    store, results = alone
    arguments = store, tmp_path / "many", workers, epochs, is_exact
    assert in_ranks(world, take_steps_of_both_recipes, *arguments) == [0] * world
    tolerances = EXACT if is_exact else ROUNDED
    for dead_codes, expected in results(epochs, is_exact).items():
        values = results_of(tmp_path / "many", world, dead_codes)
        assert expected["losses"].shape == (3 * epochs, 6)
        assert expected["codebook quant2"][11].min() >= (0 if dead_codes == "restart" else -100)
        assert expected.keys() == values.keys()
        assert len([name for name in expected if name.startswith("epoch")]) == epochs * 17 * len(Batch._fields)
        largest = dict.fromkeys(tolerances, 0.0)
        for name, x in expected.items():
            kind = name.split()[0]
            scale = max(1, np.abs(x).max()) if kind in {"norm", "codebook"} else 1
            largest[kind] = max(largest[kind], float(np.abs(x - values[name]).max() / scale))
        run = f"{world} processes, {workers} data workers, float{64 if is_exact else 32}, {3 * epochs} steps, {dead_codes}"
        print(f"\n{run}: {', '.join(f'{kind} {difference:.1e}' for kind, difference in largest.items())}")
        assert all(largest[kind] <= tolerance for kind, tolerance in tolerances.items()), largest


def part_of_the_loss(rank, path, batch_norm, out):
    """Writes the losses of a step whose batch normalization is of the global batch or of each process."""
    training = TRAINING.model_copy(update={"batch_norm": batch_norm})
    run = Run.start(MODEL, (2, 3), config.Recipe(), training, None, torch.device("cpu"))
    batch = next(iter(batches_of(Store(path), epoch=1, rank=rank, world=distributed.world())))
    losses = step_losses(run.model, batch, 8, (1, 0), config.Recipe(), training)
    if rank == 0:
        np.save(out / f"{batch_norm}.npy", losses.parts.numpy())


def test_the_published_batch_normalization_depends_on_the_number_of_processes(alone, tmp_path):
    store, results = alone
    for batch_norm in ("global", "process"):
        assert in_ranks(2, part_of_the_loss, store, batch_norm, tmp_path) == [0, 0]
    expected = results(5, is_exact=False)["keep"]["losses"][0]
    same, different = (np.abs(np.load(tmp_path / f"{name}.npy") - expected).max() for name in ("global", "process"))
    print(same, different)
    assert same < 1e-5
    assert different > 1e-2


def twice(rank, path, out, compiled):
    """Writes the losses of two steps with the same batch, with compiled branches: traced, and then run as they are."""
    changes = {"compute": config.Compute(compile=compiled), "batch_size": 8, "pad_to": "max_frames"}
    training = TRAINING.model_copy(update=changes)
    losses = []
    with mock.patch.object(compute, "COMPILER", "aot_eager"):
        run = Run.start(MODEL, (2, 3), config.Recipe(), training, None, torch.device("cpu"))
        batch = next(iter(batches_of(Store(path), epoch=1, rank=rank, world=distributed.world())))
        for _ in range(2):
            result = step_losses(run.model, batch, 8, (1, 0), config.Recipe(), training)
            assert update(run.model, run.optimizer, result)
            losses.append(result.parts.numpy())
    counters = torch._dynamo.utils.counters
    assert (counters["stats"]["unique_graphs"] > 0) == compiled
    assert not counters["graph_break"]
    distributed.check_agreement(run.shared_tensors())
    if rank == 0:
        np.save(f"{out}.{compiled}.npy", np.array(losses))


@pytest.mark.thorough
def test_compiled_branches_exchange_the_same(alone, tmp_path):
    """Forward and backward: the second losses follow from the gradients of the first."""
    store, results = alone
    for compiled in (False, True):
        assert in_ranks(2, twice, store, tmp_path / "losses", compiled) == [0, 0]
    eager, traced = (np.load(f"{tmp_path}/losses.{compiled}.npy") for compiled in (False, True))
    print(np.abs(traced - eager).max(axis=1))
    assert np.abs(eager[0] - results(14, is_exact=False)["keep"]["losses"][0]).max() < 1e-5
    assert np.abs(traced - eager).max() < 1e-5
    assert np.abs(eager[1] - eager[0]).max() > 1e-2


@pytest.mark.parametrize(("gpus", "world"), [(1, 2), (4, 2)])
def test_the_published_batch_normalization_has_the_processes_that_it_names(stores, gpus, world):
    ranks = two_trainings(stores, batch_norm="process", gpus=gpus)
    assert [rank.end() for rank in ranks] == [1, 1]
    assert (
        f"training.batch_norm: process trains with exactly training.gpus = {gpus} processes, not {world}"
        in ranks[0].text
    )


def test_the_number_of_processes_is_part_of_the_published_method_alone(stores):
    for batch_norm, gpus in (("process", 2), ("global", 7)):
        ranks = two_trainings(stores, batch_norm=batch_norm, gpus=gpus, epochs=1)
        assert [rank.end() for rank in ranks] == [0, 0], ranks[0].text
        card = json.loads((stores / "a" / "model" / "model.json").read_text())
        assert card["training"].get("gpus") == (2 if batch_norm == "process" else None)
        assert card["processes"] == 2


def exchange(rank, folder):
    n = 5
    whole = torch.randn(n, 3, generator=torch.Generator().manual_seed(0))
    weights = torch.randn(n, 3, generator=torch.Generator().manual_seed(1))
    part = whole[rank :: distributed.world()].clone().requires_grad_()
    gathered = distributed.gather(part, n)
    assert torch.equal(gathered, whole)
    (gathered.square() * weights).sum().backward()
    assert torch.equal(part.grad, (2 * whole * weights)[rank :: distributed.world()])
    x = nn.Parameter(torch.zeros(2))
    if rank:
        x.grad = torch.tensor([1.0, rank])
    distributed.sum_gradients([x])
    assert x.grad.tolist() == [distributed.world() - 1, sum(range(distributed.world()))]
    assert distributed.highest(rank, torch.device("cpu")) == distributed.world() - 1
    with pytest.raises(InputError, match="different values of other"):
        distributed.check_agreement([("same", torch.ones(3)), ("other", torch.tensor([1.0, 2.0 + rank * 1e-6]))])
    (folder / f"passed{rank}").touch()


def test_gather_keeps_order_and_gradient_and_disagreement_is_an_error(tmp_path):
    assert in_ranks(3, exchange, tmp_path) == [0, 0, 0]
    assert len(list(tmp_path.glob("passed*"))) == 3


def two_trainings(stores, pause=0.0, **options):
    port = free_port()
    return [Child(stores, environment=environment(r, 2, port), pause=pause, **options) for r in range(2)]


def test_a_whole_training_stopped_and_resumed(stores):
    first, second = two_trainings(stores, pause=0.02)
    first.wait_for_step(4)
    for child in (first, second):
        child.signal(signal.SIGTERM)
    assert [first.end(), second.end()] == [1, 1]
    assert "stopped by SIGTERM at epoch " in first.text
    first, second = two_trainings(stores)
    assert [first.end(), second.end()] == [0, 0], first.text + second.text
    assert "resumes at epoch " in first.text
    assert "epoch 3/3: loss" in first.text
    assert "epoch 3/3" not in second.text  # process 0 speaks for all
    assert (stores / "a" / "model" / "model.json").exists()


def test_all_are_out_of_patience_together(stores):
    """Also when they resume after the epoch in which they were."""
    options = {"patience": 2, "epochs": 60, "learning_rate": 1e-12, "checkpoint_seconds": 600}
    first, second = two_trainings(stores, **options)
    assert [first.end(), second.end()] == [0, 0], first.text + second.text
    (checkpoint,) = (stores / "a" / "state").glob("*/checkpoint-*.pt")
    epochs = len(torch.load(checkpoint, weights_only=True)["history"])
    assert f"R@10 has not risen for 2 epochs, so the training ended early, after epoch {epochs}" in first.text
    assert epochs < 60
    assert (first.count.value, second.count.value) == (5 * epochs, 5 * epochs)
    first, second = two_trainings(stores, **options)
    assert [first.end(), second.end()] == [0, 0], first.text + second.text
    assert (first.count.value, second.count.value) == (0, 0)


def test_when_one_is_killed_all_end(stores):
    first, second = two_trainings(stores, pause=0.05, epochs=30)
    first.wait_for_step(3)
    second.signal(signal.SIGKILL)
    assert second.end() == -signal.SIGKILL
    assert first.end(30) == 1
    assert "Traceback" not in first.text
    assert "process 0 of this training got no answer from another one, which has ended or" in first.text
    assert not any((stores / "a" / "model").iterdir())


@pytest.mark.parametrize("stalled", [0, 1])
def test_when_one_is_stopped_the_other_ends_within_the_timeout(stores, stalled):
    """And the stopped one as soon as it goes on; a launcher kills it before."""
    ranks = two_trainings(stores, pause=0.1, timeout=2)
    stopped, other = ranks[stalled], ranks[1 - stalled]
    other.wait_for_step(3)
    stopped.signal(signal.SIGSTOP)
    start = time.monotonic()
    assert other.end(30) == 1
    assert 1 < time.monotonic() - start < 10
    assert "has ended or has stalled for 0:00:02" in other.text
    assert "run the same command again to resume" in other.text
    stopped.signal(signal.SIGCONT)
    assert stopped.end(30) == 1
    assert not any((stores / "a" / "model").iterdir())
    first, second = two_trainings(stores)
    assert [first.end(), second.end()] == [0, 0], first.text + second.text


PROGRAM = """
import os, sys
from pathlib import Path
from types import SimpleNamespace
from training_child import _in_child
folder = Path(sys.argv[1])
(folder / f"pid{os.environ['RANK']}").write_text(str(os.getpid()))
os.setsid = lambda: None  # torchrun has done it
options = {"epochs": 100, "timeout": 3}
_in_child(SimpleNamespace(value=0), folder / f"log{os.environ['RANK']}", {}, 0.05, None, folder, "a", options)
"""


@pytest.mark.thorough
@pytest.mark.parametrize("stalled", [0, 1])
def test_torchrun_ends_all_when_one_is_stopped(stores, stalled):
    """After the timeout the other process ends, and 30 seconds later torchrun kills the stopped one."""
    (stores / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    log = stores / "log0"
    with subprocess.Popen([*command, stores / "program.py", stores], env=environment) as launcher:
        deadline = time.monotonic() + 100
        while not (log.exists() and "starts on cpu" in log.read_text()) and time.monotonic() < deadline:
            assert launcher.poll() is None
            time.sleep(0.1)
        time.sleep(1)
        pids = [int((stores / f"pid{rank}").read_text()) for rank in (0, 1)]
        os.kill(pids[stalled], signal.SIGSTOP)
        start = time.monotonic()
        assert launcher.wait(60) != 0
        print(f"all were gone after {time.monotonic() - start:.0f} s")
    assert "has ended or has stalled for 0:00:03" in (stores / f"log{1 - stalled}").read_text()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def differ(number, model):
    """In the second process, a bit of the weights changes in the fifth step."""
    if number == 5 and distributed.rank() == 1:
        with torch.no_grad():
            model.audio.stages[2][0].conv1.weight.view(torch.int32)[1, 1, 0, 1] ^= 1


def test_processes_that_differ_stop_at_the_next_checkpoint(stores):
    ranks = two_trainings(stores, before=differ, checkpoint_seconds=600)
    assert [rank.end() for rank in ranks] == [1, 1]
    for rank in ranks:
        assert "the processes have different values of " in rank.text
        assert rank.count.value == 5  # the epoch's end is the next checkpoint
    assert not list((stores / "a" / "state").glob("*/checkpoint-*.pt"))


def test_one_process_is_the_identity():
    x = torch.ones(3, requires_grad=True)
    assert distributed.gather(x, 3) is x
    assert distributed.total(x) is x
    assert (distributed.rank(), distributed.world(), distributed.highest(5, torch.device("cpu"))) == (0, 1, 5)
    distributed.check_agreement([("x", x)])


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, (0, 1, 0, None)),
        ({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}, (5, 8, 1, 4)),
        ({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, (5, 8, 1, None)),
        (
            {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NTASKS": "4"},
            (3, 4, 1, None),
        ),
        (
            {"SLURM_NTASKS": "4", "SLURM_PROCID": "0"},
            (0, 1, 0, None),
        ),  # a batch script's own shell: srun started nobody
        ({"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}, (0, 1, 0, None)),
        # torchrun in a job
        ({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "SLURM_STEP_NUM_TASKS": "1"}, (0, 2, 0, None)),
    ],
)
def test_who_this_process_is(variables, expected):
    assert distributed.launch(variables) == expected


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [
        ("cpu", "GPU 1a on first", r"only some processes of this training have a GPU:\nprocess 0: CPU on "),
        ("cuda", "CPU on second", r"only some .*:\nprocess 0: GPU 1a on first\nprocess 1: CPU on second"),
        ("cuda", "GPU 1a on first", r"several processes of this training have the same GPU; .*:\nprocess 0: GPU 1a"),
        ("cuda", "GPU 2b on first", None),
        ("cuda", "GPU 1a on second", None),
        ("cpu", "CPU on first", None),
    ],
)
def test_processes_with_other_devices_are_refused(monkeypatch, own, other, expected):
    """Before they meet, as NCCL and gloo would wait for each other."""
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="1a"))
    monkeypatch.setattr(socket, "gethostname", lambda: "first")
    store = dist.HashStore()
    store.set("device 1", other)
    with pytest.raises(InputError, match=expected) if expected else nullcontext():
        distributed._check_devices(store, distributed.Launch(0, 2, 0), torch.device(own))


def test_first_host_of_a_cluster_job(monkeypatch):
    def run(command, **_):
        assert command == ["scontrol", "show", "hostnames", "node[3-5]"]
        return subprocess.CompletedProcess(command, 0, "node3\nnode4\nnode5\n")

    monkeypatch.setattr(subprocess, "run", run)
    assert distributed._first_host("node[3-5]") == "node3"
    monkeypatch.undo()
    with pytest.raises(InputError, match="set MASTER_ADDR"):
        distributed._first_host("node[3-5]")
