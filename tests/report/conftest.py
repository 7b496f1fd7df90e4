import shutil
from functools import cache

import pytest
from report.made_up import SYSTEMS, build, utterances, with_intervals

from resdavenet_vq import config
from resdavenet_vq.figures import interactive
from resdavenet_vq.report import page

# A process of the workflow writes one report; here dozens share what does not depend on the results.
interactive.library, page._templates = cache(interactive.library), cache(page._templates)


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """A complete results folder; never written to."""
    folder = tmp_path_factory.mktemp("run") / "results" / "spoken_scenes"
    build(folder, utterances(tmp_path_factory.mktemp("corpus"), 12))
    with_intervals(folder)
    return folder


@pytest.fixture
def folder(results, tmp_path):
    """A copy of it, to be changed."""
    return shutil.copytree(results, tmp_path / "results" / results.name)


@pytest.fixture(scope="session")
def report(results, tmp_path_factory):
    """Its report; never written to."""
    out = tmp_path_factory.mktemp("out") / "report"
    page.write(results, SYSTEMS, "test", config.Report(utterances=3, occurrences=2), out)
    return out
