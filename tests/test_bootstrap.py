"""scripts/bootstrap in a folder of its own, with indexes of tiny wheels that a server of this machine has."""

import hashlib
import http.server
import os
import subprocess
import sys
import threading
import zipfile
from functools import partial
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]

BACKEND = """
import zipfile

def build_editable(folder, *_):
    name = "project-1-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as f:
        f.writestr("project-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: project\\nVersion: 1\\n")
        f.writestr("project-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        f.writestr("project-1.dist-info/RECORD", "")
    return name
"""

TORCH = "__version__ = '{}'\nclass version:\n    cuda = {}\n"


def wheel(index, name, version, text="", requires=()):
    """A wheel of one module in an index; the line that pins it with its checksum."""
    module = name.replace("-", "_")
    file = index / name / f"{module}-{version}-py3-none-any.whl"
    file.parent.mkdir(parents=True)
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        *(f"Requires-Dist: {r}" for r in requires),
    ]
    with zipfile.ZipFile(file, "w") as f:
        f.writestr(f"{module}.py", text)
        f.writestr(f"{module}-{version}.dist-info/METADATA", "\n".join(lines) + "\n")
        f.writestr(
            f"{module}-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        f.writestr(f"{module}-{version}.dist-info/RECORD", "")
    return f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}\n"


@pytest.fixture
def project(tmp_path):
    """A project whose requirements are of the index `whole`; beside it the index `cpu`, with another file of torch."""
    folder, whole, cpu = (tmp_path / name for name in ("project", "whole", "cpu"))
    (folder / "scripts").mkdir(parents=True)
    (folder / "scripts/bootstrap").write_text((REPO / "scripts/bootstrap").read_text())
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (folder / "backend.py").write_text(BACKEND)
    lines = [
        wheel(whole, "cuda-pathfinder", "1.9"),
        wheel(whole, "nvidia-cublas", "13.4"),
        wheel(whole, "tiny", "1", requires=["torch"]),
        wheel(
            whole, "torch", "2.15.0", TORCH.format("2.15.0", "'13.2'"), ["nvidia-cublas", "triton", "cuda-pathfinder"]
        ),
        wheel(whole, "torchdtw", "0.4", requires=["torch"]),
        wheel(whole, "torchvision", "0.29.2", requires=["torch==2.15.0"]),
        wheel(whole, "triton", "3.9"),
    ]
    (folder / "requirements.txt").write_text("# a comment\n" + "".join(lines))
    wheel(cpu, "torch", "2.15.0+cpu", TORCH.format("2.15.0+cpu", None))
    wheel(cpu, "torchvision", "0.29.2+cpu", requires=["torch==2.15.0"])
    return folder


@pytest.fixture
def address(tmp_path):
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


OF_CUDA = {"cuda-pathfinder", "nvidia-cublas", "triton"}


@pytest.mark.parametrize("of_cpu", [False, True], ids=["CUDA", "TORCH_INDEX"])
def test_pytorch_comes_from_the_named_index_without_cuda(project, address, of_cpu):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment |= {"PYTHON": sys.executable, "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": f"{address}/whole/"}
    environment |= {"TORCH_INDEX": f"{address}/cpu/"} if of_cpu else {}
    command = ["bash", project / "scripts/bootstrap"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    first, last = run.stdout.splitlines()
    assert ("about 2.2 GB, for CPUs alone" if of_cpu else "about 6.7 GB") in first
    assert ("PyTorch 2.15.0+cpu for CPUs alone; " if of_cpu else "PyTorch 2.15.0 for CUDA 13.2; ") in last
    assert (project / ".venv/ready").read_text() == f"{last}\n"
    command = [project / ".venv/bin/python", "-m", "pip", "list", "--format", "freeze", "--exclude", "pip"]
    listed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
    versions = dict(line.split("==") for line in listed)
    assert set(versions) == {"project", "tiny", "torch", "torchdtw", "torchvision", *(() if of_cpu else OF_CUDA)}
    assert versions["torchvision"] == ("0.29.2+cpu" if of_cpu else "0.29.2")


def test_make_demo_says_which_environment_it_takes():
    command = ["make", "--no-print-directory", "--dry-run", "--assume-old", "environment", "demo"]
    lines = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines == ["cat .venv/ready", ".venv/bin/snakemake --cores all"]
