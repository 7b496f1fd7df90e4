"""What the tests of the workflow share."""

import shutil

import pytest
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
