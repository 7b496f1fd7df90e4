"""Several processes on one machine, over gloo: the method does not depend on how many they are."""

import getpass
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn
from training_child import FRESH, MODEL, TRAINING, Child, in_fork, start_forkserver, write_store

from resdavenet_vq import config
from resdavenet_vq.data.dataset import Batch, training_batches
from resdavenet_vq.data.store import Store
from resdavenet_vq.errors import InputError
from resdavenet_vq.training import distributed
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
        rank.join(60)
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


def fix_batch_norm(model, batch):
    """Batch statistics are those of a process's own part, by design: here the first global batch's stand for all."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    model.audio.quantizers.eval()
    with torch.no_grad():
        model.image(batch.images)
        model.audio(batch.logmel.float(), batch.n_frames, torch.Generator().manual_seed(0))
    model.train()
    for norm in norms:
        norm.eval()


def take_steps(rank, path, out, workers, recipe):
    """Two epochs of three steps, the last of a batch short; writes losses, totals, everything trained, and the batches.

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
    fix_batch_norm(run.model, next(iter(batches_of(store, epoch=1))))
    losses, samples = [], {}
    for epoch in (1, 2):
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
    codebooks = {f"codebook {name}": q.codebook.numpy() for name, q in quantizers_of(run.model).items()}
    counts = {f"counts {name}": x.numpy() for name, x in run.totals.counts.items()}
    results = {"losses": np.array(losses), **parameters, **codebooks, **counts} if rank == 0 else {}
    np.savez(f"{out}.{recipe.dead_codes}.{rank}.npz", **results, **samples)


def take_steps_of_both_recipes(rank, path, out, workers):
    torch.use_deterministic_algorithms(mode=True)
    for dead_codes in ("keep", "restart"):
        take_steps(rank, path, out, workers, config.Recipe(dead_codes=dead_codes))
    torch.use_deterministic_algorithms(mode=False)


def results_of(out, world, dead_codes):
    """What all processes have written, together."""
    values = {}
    for rank in range(world):
        with np.load(f"{out}.{dead_codes}.{rank}.npz") as f:
            values |= dict(f)
    return values


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """A store of 17 pairs, and the results of a single process that reads its data itself."""
    folder = tmp_path_factory.mktemp("one")
    take_steps_of_both_recipes(0, write_store(folder / "train.h5", 18, 0), folder / "one", 0)
    return folder


@pytest.mark.parametrize(
    ("workers", "world"),
    [
        pytest.param(workers, world, marks=[] if (workers, world) in ((4, 1), (1, 2), (4, 4)) else pytest.mark.thorough)
        for workers in (0, 1, 4)
        for world in (1, 2, 4)
    ],
)
def test_as_many_processes_and_data_workers_as_one_likes(one, tmp_path, workers, world):
    """17 pairs in batches of 8: of the last batch's single pair all processes but one have no part.

    Codebooks may differ by a millionth of their largest entry, of about 10, where float32 has steps of a millionth.
    """
    arguments = one / "train.h5", tmp_path / "many", workers
    assert in_ranks(world, take_steps_of_both_recipes, *arguments) == [0] * world
    tolerances = {"losses": 1e-5, "parameter": 1e-5, "codebook": 1e-6, "counts": 0, "epoch": 0}
    for dead_codes in ("keep", "restart"):
        expected, values = results_of(one / "one", 1, dead_codes), results_of(tmp_path / "many", world, dead_codes)
        assert expected["losses"].shape == (6, 6)
        assert expected["codebook quant2"][11].min() >= (0 if dead_codes == "restart" else -100)
        assert expected.keys() == values.keys()
        assert len([name for name in expected if name.startswith("epoch")]) == 2 * 17 * len(Batch._fields)
        largest = dict.fromkeys(tolerances, 0.0)
        for name, x in expected.items():
            kind = name.split()[0]
            scale = max(1, np.abs(x).max()) if kind == "codebook" else 1
            largest[kind] = max(largest[kind], float(np.abs(x - values[name]).max() / scale))
        print(workers, world, dead_codes, largest)
        assert all(largest[kind] <= tolerance for kind, tolerance in tolerances.items()), largest


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


@pytest.fixture
def common(tmp_path, monkeypatch):
    """A folder in place of the common temporary one."""
    folder = tmp_path / "common"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.usefixtures("common")
def test_two_trainings_take_two_gpus():
    def taken(count):
        return in_fork(lambda: take(count))

    def take(count):
        with distributed.free_gpu(count) as number:
            os._exit(99 if number is None else number)

    assert taken(0) == 99
    with distributed.free_gpu(2) as mine:
        assert mine == 0
        assert taken(2) == 1
        assert taken(1) == 0  # shared, where there is no other
    assert taken(2) == 0


def test_the_locks_of_gpus_lie_in_a_folder_of_this_user_alone(common):
    with distributed.free_gpu(1):
        (folder,) = common.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert [p.name for p in folder.iterdir()] == ["gpu-all-0.lock"]
    assert not list(folder.iterdir())


def planted_link(folder, target):
    target.mkdir()
    (target / "gpu-all-0.lock").write_text("canary")
    folder.symlink_to(target)


@pytest.mark.parametrize(
    "plant",
    [
        planted_link,
        lambda folder, target: folder.symlink_to(target),
        lambda folder, _: folder.write_text("canary"),
        lambda folder, _: (folder.mkdir(), folder.chmod(0o777)),
    ],
)
def test_what_others_planted_in_the_common_folder_is_not_used(common, tmp_path, plant, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    plant(common / f"resdavenet-vq-{os.getuid()}", tmp_path / "target")
    before = {path: path.is_file() and path.read_text() for path in tmp_path.rglob("*")}
    with pytest.raises(InputError, match="not a folder that belongs to this user alone"), distributed.free_gpu(1):
        pass
    assert {path: path.is_file() and path.read_text() for path in tmp_path.rglob("*")} == before


def test_a_folder_of_another_user_is_not_used(common, monkeypatch):
    other = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: other)
    (common / f"resdavenet-vq-{os.getuid()}").mkdir(0o700)
    with pytest.raises(InputError, match="or set TMPDIR to another folder"), distributed.free_gpu(1):
        pass


def test_links_of_the_former_name_are_not_followed(common, tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "canary").write_text("canary")
    (common / f"resdavenet-vq-{getpass.getuser()}-gpu-all-0.lock").symlink_to(tmp_path / "canary")
    with distributed.free_gpu(1) as number:
        assert number == 0
    assert (tmp_path / "canary").read_text() == "canary"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, (0, 1, 0)),
        ({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, (5, 8, 1)),
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NTASKS": "4"}, (3, 4, 1)),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, (0, 1, 0)),  # a batch script's own shell: srun started nobody
        ({"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}, (0, 1, 0)),
        # torchrun in a job
        ({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "SLURM_STEP_NUM_TASKS": "1"}, (0, 2, 0)),
    ],
)
def test_who_this_process_is(variables, expected):
    assert distributed.launch(variables) == expected


def test_first_host_of_a_cluster_job(monkeypatch):
    def run(command, **_):
        assert command == ["scontrol", "show", "hostnames", "node[3-5]"]
        return subprocess.CompletedProcess(command, 0, "node3\nnode4\nnode5\n")

    monkeypatch.setattr(subprocess, "run", run)
    assert distributed._first_host("node[3-5]") == "node3"
    monkeypatch.undo()
    with pytest.raises(InputError, match="set MASTER_ADDR"):
        distributed._first_host("node[3-5]")
