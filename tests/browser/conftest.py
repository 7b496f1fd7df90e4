"""Pages of a report, in the one Chromium of all tests."""

import pytest
from report import conftest
from report.made_up import NASTY, SYSTEMS

from resdavenet_vq import config
from resdavenet_vq.report import page
from resdavenet_vq.report.sources import Command

results = conftest.results


@pytest.fixture(scope="session")
def pages(results, tmp_path_factory):
    """A report of twelve utterances, eight of which have audio."""
    out = tmp_path_factory.mktemp("pages") / "report"
    commands = {
        f"none-2-23/abx/test/{layer}.json": Command("score_abx", "scores.log", ("score-abx", "--settings", NASTY))
        for layer in ("conv2", "quant2", "quant3")
    }
    page.write(results, SYSTEMS, "test", config.Report(utterances=8, occurrences=5), out, commands=commands)
    return out


@pytest.fixture
def browser(chromium):
    """The browser on a wide light screen; whatever the pages did, they complained of nothing and asked no network."""
    chromium.size(1280)
    chromium.problems.clear()
    chromium.requests.clear()
    yield chromium
    assert chromium.problems == []
    assert [url for url in chromium.requests if not url.startswith(("file:", "about:", "data:", "blob:"))] == []
