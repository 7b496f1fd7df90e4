"""Which device a process computes on, on machines that are made up: no GPU is needed, and none is used."""

import errno
import os
import subprocess
import sys
import tempfile
from types import SimpleNamespace

import pytest
import torch
import yte
from training_child import in_fork
from workflow.running import REPO

from resdavenet_vq import devices, processes
from resdavenet_vq.errors import InputError
from resdavenet_vq.workflow.jobs import launcher

PROFILE = (REPO / "profiles/default/config.yaml").read_text()


@pytest.fixture(autouse=True)
def common(tmp_path, monkeypatch):
    """A folder in place of the common temporary one; no variable names a GPU, and no device is there."""
    folder = tmp_path / "common"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    for name in devices.GRANTS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(devices, "DEVICES", tmp_path / "dev")
    devices.device.cache_clear()
    yield folder
    devices._for_good.close()
    devices.device.cache_clear()


@pytest.fixture
def machine(monkeypatch):
    """Sets how many GPUs CUDA finds."""
    current = []

    def has(count, reason=None):
        def start():
            if reason:
                raise RuntimeError(reason)

        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "set_device", current.append)
        monkeypatch.setattr(torch.cuda, "init", start)
        monkeypatch.setattr(torch.version, "cuda", "13.2")
        return current

    return has


OLD = "The NVIDIA driver on your system is too old (found version 12020)."


def test_a_driver_too_old_for_the_wheel(machine, monkeypatch, tmp_path):
    machine(0, OLD)
    driver = tmp_path / "version"
    driver.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n")
    monkeypatch.setattr(devices, "DRIVER", driver)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidia0").touch()
    with pytest.raises(InputError) as error:
        devices.device()
    text = str(error.value)
    assert f"{tmp_path}/dev/nvidia0: there should be a GPU" in text
    assert "the NVIDIA driver is 535.104.05" in text
    assert f"PyTorch {torch.__version__} was built for CUDA 13.2, and it says: {OLD[:-1]}" in text
    assert "or set CUDA_VISIBLE_DEVICES to nothing" in text
    with pytest.raises(InputError, match="the NVIDIA driver is"):
        devices.device_of(1, 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.device() == torch.device("cpu")


@pytest.mark.parametrize("name", devices.GRANTS)
def test_a_gpu_that_was_granted_and_is_not_there(machine, monkeypatch, name, tmp_path):
    machine(0, "No CUDA GPUs are available")
    monkeypatch.setattr(devices, "DRIVER", tmp_path / "none")
    monkeypatch.setenv(name, "0")
    with pytest.raises(InputError, match=f"^{name}=0: there should be a GPU, but no NVIDIA driver is loaded"):
        devices.device()
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(InputError, match="was built without CUDA"):
        devices.device()


def test_fewer_gpus_than_are_named(machine, monkeypatch):
    machine(1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,9")
    with pytest.raises(InputError, match="CUDA_VISIBLE_DEVICES=0,9: names 2 GPUs, of which this process can use 1"):
        devices.device()


@pytest.mark.parametrize("value", ["", "-1", "NoDevFiles"])
def test_hidden_gpus_are_not_used(machine, monkeypatch, value):
    machine(2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    monkeypatch.setenv("SLURM_JOB_GPUS", "0,1")
    assert devices.device() == devices.device_of(1, 2) == torch.device("cpu")


def test_a_machine_without_gpus(machine):
    machine(0)
    assert devices.device() == devices.device_of(1, 2) == torch.device("cpu")


def test_a_device_that_a_cluster_does_not_let_a_job_open(machine, tmp_path, monkeypatch):
    """It shows all of them. Nothing is granted by any variable."""
    machine(0)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidia0").touch()

    def refuse(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        assert devices.n_gpus() == 0
    with pytest.raises(InputError, match="nvidia0: there should be a GPU"):
        devices.n_gpus()


def test_a_task_that_sees_its_own_gpu_alone(machine):
    """`srun --gpus-per-task`: local rank 1, and one device, which is number 0."""
    current = machine(1)
    assert devices.device_of(1, None) == torch.device("cuda", 0)
    assert current == [0]


@pytest.mark.parametrize(("local_rank", "n_local"), [(0, 4), (3, 4), (2, None)])
def test_more_processes_than_gpus(machine, local_rank, n_local):
    machine(2)
    with pytest.raises(InputError, match=r"2 GPUs for .*: a training has one process for each GPU"):
        devices.device_of(local_rank, n_local)


def taken(count):
    """The number of the GPU that another process takes."""

    def take():
        with devices.free_gpu(count) as number:
            os._exit(99 if number is None else number)

    return in_fork(take)


def test_two_trainings_take_two_gpus():
    assert taken(0) == 99
    with devices.free_gpu(2) as mine:
        assert mine == 0
        assert taken(2) == 1
        assert taken(1) == 0  # shared, where there is no other
    assert taken(2) == 0


def test_a_process_keeps_its_gpu_until_it_ends(machine):
    current = machine(3)
    assert devices.device() == devices.device() == torch.device("cuda", 0)
    assert current == [0]
    assert taken(3) == 1
    devices._for_good.close()
    assert taken(3) == 0


def test_jobs_do_not_take_the_gpus_of_a_training_with_several(machine):
    machine(3)
    for rank in (0, 1):
        assert devices.device_of(rank, 2) == torch.device("cuda", rank)
    assert taken(3) == 2


def test_all_that_computes_asks_for_its_device():
    """No other place names CUDA as a device."""
    naming = [
        str(file.relative_to(REPO))
        for file in (REPO / "resdavenet_vq").rglob("*.py")
        if 'device("cuda"' in (text := file.read_text()) or "cuda.is_available" in text
    ]
    assert sorted(naming) == ["resdavenet_vq/data/loader.py", "resdavenet_vq/devices.py"]  # the loader pins memory
    asking = [file.stem for file in (REPO / "resdavenet_vq").rglob("*.py") if "devices.device()" in file.read_text()]
    assert sorted(asking) == ["activations", "cells", "distributed", "pretrained", "recording", "split"]


def test_the_locks_of_gpus_lie_in_a_folder_of_this_user_alone(common):
    with devices.free_gpu(1):
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
def test_what_others_planted_in_the_common_folder_is_not_used(common, tmp_path, plant):
    plant(common / f"resdavenet-vq-{os.getuid()}", tmp_path / "target")
    before = {path: path.is_file() and path.read_text() for path in tmp_path.rglob("*")}
    with pytest.raises(InputError, match="not a folder that belongs to this user alone"), devices.free_gpu(1):
        pass
    assert {path: path.is_file() and path.read_text() for path in tmp_path.rglob("*")} == before


def test_a_folder_of_another_user_is_not_used(common, monkeypatch):
    other = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: other)
    (common / f"resdavenet-vq-{os.getuid()}").mkdir(0o700)
    with pytest.raises(InputError, match="or set TMPDIR to another folder"), devices.free_gpu(1):
        pass


@pytest.mark.parametrize(
    ("variable", "listing", "expected"),
    [
        (
            None,
            "GPU 0: NVIDIA H200 (UUID: GPU-1)\n  MIG 1g.18gb Device 0: (UUID: MIG-2)\nGPU 1: NVIDIA H200 (UUID: GPU-3)\n",
            2,
        ),
        (None, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", 0),
        (None, None, 0),
        ("3", "GPU 0: a\nGPU 1: b\n", 1),
        ("3,5", None, 2),
        ("", "GPU 0: a\n", 0),
        ("-1", "GPU 0: a\n", 0),
        ("NoDevFiles", "GPU 0: a\n", 0),
    ],
)
def test_the_profile_counts_the_gpus_that_it_may_use(monkeypatch, variable, listing, expected):
    def run(command, **_):
        assert command == ["nvidia-smi", "--list-gpus"]
        if listing is None:
            raise FileNotFoundError(command[0])
        return SimpleNamespace(stdout=listing)

    monkeypatch.setattr(subprocess, "run", run)
    if variable is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert yte.process_yaml(PROFILE)["resources"]["gpu"] == expected


def test_no_gpu_for_a_job_that_asks_for_none():
    """Its process computes on the CPU, also where the machine has GPUs."""
    command = [
        *launcher({"gpu": 0})[:-1],
        sys.executable,
        "-c",
        "import os; print(repr(os.environ['CUDA_VISIBLE_DEVICES']))",
    ]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "0,1"}
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert output == "''\n"


def test_shared_memory_of_a_container(monkeypatch):
    """The 64 MB of podman, and the batches of 12 data workers."""
    monkeypatch.setattr(
        os, "statvfs", lambda path: {"/dev/shm": SimpleNamespace(f_bavail=64 << 8, f_frsize=1 << 12)}[path]
    )
    processes.check_shared_memory(64 << 20, "12 data workers")
    with pytest.raises(InputError, match=r"/dev/shm: has 64 MiB left, less than the 460 MiB of batches of 12 data"):
        processes.check_shared_memory(482_000_000, "12 data workers")
