"""Several processes on one machine, over gloo: the method does not depend on how many they are."""

import os
import signal
import socket
import subprocess
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn
from training_child import FRESH, MODEL, TRAINING, Child, in_fork, start_forkserver, write_store

from resdavenet_vq import config
from resdavenet_vq.data.dataset import training_batches
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


def batches_of(store, **place):
    return training_batches(store, MODEL.image, batch_size=8, pad_to="batch", pad_value=0.0, seed=1, workers=0, **place)


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


def take_steps(rank, path, out, recipe):
    """Two epochs of three steps, the last of a batch short; writes losses, totals and everything trained.

    With restarts of dead codes there is one in every step but the first, and one code that is dead in the second epoch.
    """
    store = Store(path)
    n_pairs = int((store.image_index >= 0).sum())
    run = Run.start(MODEL, (2, 3), recipe, TRAINING, None, torch.device("cpu"))
    fix_batch_norm(run.model, next(iter(batches_of(store, epoch=1))))
    losses = []
    for epoch in (1, 2):
        if recipe.dead_codes == "restart" and epoch == 2:
            for q in quantizers_of(run.model).values():
                q.codebook[11], q.cluster_size[11], q.embedding_sum[11] = -100, 1e-4, -1e-2
        for step, batch in enumerate(batches_of(store, epoch=epoch, rank=rank, world=distributed.world())):
            n = min(8, n_pairs - 8 * step)
            with mock.patch("resdavenet_vq.training.codebooks.RESTART_EVERY", 1):
                result = step_losses(run.model, batch, n, (epoch, step), recipe, TRAINING)
            assert update(run.model, run.optimizer, result)
            run.totals.add(result, n)
            losses.append(result.parts.numpy())
    distributed.check_agreement(run.shared_tensors())
    run.totals.collect()
    if rank == 0:
        parameters = {f"parameter {name}": x.detach().numpy() for name, x in run.model.named_parameters()}
        codebooks = {f"codebook {name}": q.codebook.numpy() for name, q in quantizers_of(run.model).items()}
        counts = {f"counts {name}": x.numpy() for name, x in run.totals.counts.items()}
        np.savez(out, losses=np.array(losses), **parameters, **codebooks, **counts)


def take_steps_of_both_recipes(rank, path, out):
    torch.use_deterministic_algorithms(mode=True)
    for dead_codes in ("keep", "restart"):
        take_steps(rank, path, out.with_suffix(f".{dead_codes}.npz"), config.Recipe(dead_codes=dead_codes))
    torch.use_deterministic_algorithms(mode=False)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """A store of 17 pairs, and the results of a single process."""
    folder = tmp_path_factory.mktemp("one")
    take_steps_of_both_recipes(0, write_store(folder / "train.h5", 18, 0), folder / "one")
    return folder


@pytest.mark.parametrize("world", [2, 4])
def test_as_many_processes_as_one_likes(one, tmp_path, world):
    """17 pairs in batches of 8: of the last batch's single pair all processes but one have no part."""
    assert in_ranks(world, take_steps_of_both_recipes, one / "train.h5", tmp_path / "many") == [0] * world
    for dead_codes in ("keep", "restart"):
        with np.load(one / f"one.{dead_codes}.npz") as f, np.load(tmp_path / f"many.{dead_codes}.npz") as g:
            expected, values = dict(f), dict(g)
        assert expected["losses"].shape == (6, 6)
        assert expected["codebook quant2"][11].min() >= (0 if dead_codes == "restart" else -100)
        tolerance = {"losses": 1e-5, "codebook": 1e-5 if dead_codes == "restart" else 1e-6, "counts": 0}
        for name, x in expected.items():
            assert np.abs(x - values[name]).max() <= tolerance.get(name.split()[0], 1e-5), name


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


def test_when_one_is_killed_all_end(stores):
    first, second = two_trainings(stores, pause=0.05, epochs=30)
    first.wait_for_step(3)
    second.signal(signal.SIGKILL)
    assert second.end() == -signal.SIGKILL
    assert first.end(30) != 0
    assert not (stores / "a" / "model").exists()


def test_one_process_is_the_identity():
    x = torch.ones(3, requires_grad=True)
    assert distributed.gather(x, 3) is x
    assert distributed.total(x) is x
    assert (distributed.rank(), distributed.world(), distributed.highest(5, torch.device("cpu"))) == (0, 1, 5)
    distributed.check_agreement([("x", x)])


def test_two_trainings_take_two_gpus(tmp_path):
    def taken(count):
        return in_fork(lambda: take(count))

    def take(count):
        with distributed.free_gpu(count, tmp_path) as number:
            os._exit(99 if number is None else number)

    assert taken(0) == 99
    with distributed.free_gpu(2, tmp_path) as mine:
        assert mine == 0
        assert taken(2) == 1
        assert taken(1) == 0  # shared, where there is no other
    assert taken(2) == 0


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
