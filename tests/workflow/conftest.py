"""What the tests of the workflow share."""

import shutil

import pytest
from workflow.forks import forks
from workflow.staleness import REPO


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    """A copy of the project as a clone has it, so that nothing changes under the tests and they may edit it."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("Snakefile", "rules", "config.yaml", "configs", "profiles", "envs", "resdavenet_vq"):
        source = REPO / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    return copy


@pytest.fixture(scope="session")
def forking(checkout, tmp_path_factory):
    """Settings of `running.snakemake` with which commands import nothing: they run in forks of one process."""
    from workflow.running import ENVIRONMENT  # which not every copy of these tests has

    copy = tmp_path_factory.mktemp("forking") / "checkout"
    shutil.copytree(checkout, copy)
    with forks(copy, ENVIRONMENT) as environment:
        yield {"checkout": copy, "environment": environment}
