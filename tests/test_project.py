"""What must hold of the project's own files: import directions, pins, and nothing that belongs to one machine."""

import hashlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

REPO = Path(__file__).resolve().parents[1]
PINS = {
    name.lower(): version
    for name, _, version in (line.partition("==") for line in (REPO / "constraints.txt").read_text().split())
    if version
}
BOOTSTRAP = (REPO / "scripts/bootstrap").read_text()
CONDA_NAMES = {
    "pytorch": "torch",
    "pysoundfile": "soundfile",
    "soxr-python": "soxr",
    "matplotlib-base": "matplotlib",
    "snakemake-minimal": "snakemake",
}


def requirements():
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    return {re.split(r"[<>=!~ ]", text)[0].lower() for text in texts if not text.startswith(f"{project['name']}[")}


def test_imports_go_in_the_allowed_directions():
    run = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout


def test_every_requirement_is_pinned():
    assert {canonical(name) for name in requirements()} <= {canonical(name) for name in PINS}


def test_the_default_install_is_locked_in_the_pinned_versions():
    """Each version with checksums; what no pin has is for other systems."""
    text = re.sub(r"^#.*\n", "", (REPO / "requirements.txt").read_text(), flags=re.MULTILINE).replace("\\\n", "")
    locked = {}
    for line in text.splitlines():
        name, version, marker, hashes = re.fullmatch(
            r"([\w.-]+)==(\S+)( ; .*?)?((?:\s+--hash=sha256:[0-9a-f]{64})+)\s*", line
        ).groups()
        locked[name] = version, marker, hashes
    pins = {canonical(name): version for name, version in PINS.items()}
    assert {name: pins[name] for name in locked.keys() & pins.keys()} == {
        name: locked[name][0] for name in locked.keys() & pins.keys()
    }
    assert all(re.search("darwin|win32|emscripten", locked[name][1]) for name in locked.keys() - pins.keys())
    extras = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    apart = {re.split(r"[<>=!~ ]", text)[0].lower() for text in extras["notebook"] + extras["docs"] + extras["mteb"]}
    assert {canonical(name) for name in requirements() - apart} | {"setuptools"} <= locked.keys()


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_a_file_with_another_checksum_is_not_installed(tmp_path):
    """By pip's own refusal, with the options of scripts/bootstrap."""
    wheel = tmp_path / "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as f:
        f.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n")
        f.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        f.writestr("tiny-1.dist-info/RECORD", "")
    options = re.search(r"^ +install (--require-hashes --requirement) requirements.txt$", BOOTSTRAP, re.MULTILINE)[1]
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    for checksum, taken in ((digest, True), (digest[::-1], False)):
        (tmp_path / "requirements.txt").write_text(f"tiny==1 --hash=sha256:{checksum}\n")
        command = ["pip", "install", "--no-index", "--find-links", tmp_path, "--target", tmp_path / "target"]
        run = subprocess.run(
            [sys.executable, "-m", *map(str, command), *options.split(), tmp_path / "requirements.txt"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (run.returncode == 0) == taken, run.stderr
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in run.stderr


SKIPPING = """
import pytest

def test_nothing():
    pass

@pytest.mark.parametrize("n", range(2))
def test_something(n):
    pytest.skip("no telescope (Debian: apt-get install telescope)")
"""


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        ([], 0, "\n2 skipped: no telescope (Debian"),
        (["-n", "1", "--expected-skips="], 1, "\nFAILED, 2 skipped: no telescope (Debian"),
        (["--expected-skips=microscope, telescope"], 0, "\n2 skipped: no telescope (Debian"),
    ],
)
def test_skipped_tests_are_summed_up_and_fail_where_they_must_not_be(tmp_path, options, status, said):
    (tmp_path / "conftest.py").write_text((REPO / "tests/conftest.py").read_text())
    (tmp_path / "test_it.py").write_text(SKIPPING)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == status, run.stdout
    assert "not tested here" in run.stdout
    assert said in run.stdout


SKIPPED = "SLURM,chromium,ffmpeg,Node.js,C compiler"
"""Words of the reasons of tests that need programs."""


@pytest.mark.parametrize(
    ("installed", "site", "allowed", "option"),
    [
        (False, True, None, f"{SKIPPED},MTEB"),
        (False, False, "x y", f"x y,{SKIPPED},MkDocs,MTEB"),
        (True, True, None, "MTEB"),
        (True, False, None, "MkDocs,MTEB"),
        (True, True, "x y", "x y,MTEB"),
    ],
)
def test_ci_expects_skips_of_what_it_may_not_install_alone_and_says_so(tmp_path, installed, site, allowed, option):
    """In a folder with a PATH that has no apt-get, and a `make` that prints what it is asked for, and may have no site's tools."""
    (tmp_path / "ci").mkdir()
    (tmp_path / "ci/run").write_text((REPO / ".ci/run").read_text())
    for tool in ("bash", "dirname", "id"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    for program in (
        "make",
        *(("chromium", "slurmctld", "slurmd", "sbatch", "munged", "sox", "ffmpeg", "node", "cc") if installed else ()),
    ):
        (tmp_path / program).write_text(f'#!/bin/sh\necho make "$@"\n[ {int(site)} = 1 ] || [ "$1" != .venv/docs ]\n')
        (tmp_path / program).chmod(0o755)
    environment = {"PATH": str(tmp_path)} | ({"EXPECTED_SKIPS": allowed} if allowed else {})
    run = subprocess.run(["bash", "ci/run"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    if not installed:  # elsewhere this machine's own programs in /usr/sbin may count
        assert run.stderr.count("NOT INSTALLED, and this may not install it: chromium") >= 2, "also at the end"
    if not site:
        assert run.stderr.count(" MkDocs\n") == 2, "also at the end"
    if installed and site:
        assert run.stderr == ""
    tests = f"make test PYTEST_ARGS=--expected-skips='{option}' "
    assert run.stdout.splitlines() == ["make check", "make .venv/docs", tests]


def test_make_test_leaves_out_what_make_thorough_runs():
    def lines(target):
        command = ["make", "--dry-run", "--assume-old", "environment", target]
        return subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True).stdout

    options = tomllib.loads((REPO / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["addopts"]
    assert options.endswith("-m 'not thorough'")
    assert " -m thorough " in lines("thorough")
    assert " -m thorough" not in lines("test")


def test_the_conda_environment_has_the_same_pins():
    listed = yaml.safe_load((REPO / "envs/resdavenet-vq.yaml").read_text())["dependencies"]
    pip = next(entry["pip"] for entry in listed if isinstance(entry, dict))
    found = dict(
        spec.split("=") for spec in listed if isinstance(spec, str) and "=" in spec and not spec.startswith("python=")
    )
    found = {CONDA_NAMES.get(name, name): version for name, version in found.items()} | dict(
        spec.split("==") for spec in pip
    )
    assert found == {name: PINS[name] for name in found}
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    runtime = [*project["dependencies"], *extras["report"], *extras["workflow"], *extras["demo"]]
    names = {re.split(r"[<>=!~ ]", r)[0] for r in runtime if not r.startswith(f"{project['name']}[")}
    assert names <= found.keys()


@pytest.mark.parametrize(
    "name",
    [
        "pyproject.toml",
        "setup.py",
        "constraints.txt",
        "requirements.txt",
        "Makefile",
        "scripts/bootstrap",
        "scripts/lock",
        ".ci/run",
        "envs/resdavenet-vq.yaml",
        "Containerfile",
    ],
)
def test_no_registry_is_named(name):
    text = (REPO / name).read_text().replace("https://arxiv.org/abs/1911.09602", "")
    assert not re.search(r"https?://|index-url|find-links", text)


def test_the_bootstrap_says_how_to_get_a_python_where_there_is_none(tmp_path):
    """In a copy of the project, with a PATH that has shell tools and only a Python that does not run."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/bootstrap").write_text((REPO / "scripts/bootstrap").read_text())
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "dirname", "cat", "rm", "env", "touch"):
        (tools / tool).symlink_to(next(p for d in ("/bin", "/usr/bin") if (p := Path(d) / tool).exists()))
    broken = tools / "python3.12"
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)
    run = subprocess.run(
        [tools / "bash", tmp_path / "scripts/bootstrap"],
        env={"PATH": str(tools), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "No usable Python 3.12 or newer was found" in run.stderr
    assert "make demo PYTHON=" in run.stderr
    assert not (tmp_path / ".venv").exists()
