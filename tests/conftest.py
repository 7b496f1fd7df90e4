"""What all tests share: their order, what is said of skipped ones, and settings of Hypothesis."""

import gc
import os
import signal
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported: threads that spin slow down the rest

# A shell starts what runs in its background with Ctrl-C ignored, and so would tests that interrupt a command.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no fault of an example, and fixtures hold folders that examples overwrite.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.load_profile("suite")

LONG = (
    *("workflow/test_workflow.py", "workflow/test_staleness.py", "cluster/", "training/test_distributed.py"),
    *("workflow/", "training/test_resume.py", "test_full_disk.py", "browser/", "report/", "data/"),
)


@pytest.fixture(scope="session")
def chromium():
    """A browser; it starts once. Tests of it are skipped where there is none."""
    from browser.chromium import Chromium, find  # most tests open none

    if not find():
        pytest.skip("no chromium on PATH (Debian's package `chromium`) nor named by the variable CHROMIUM")
    with Chromium() as browser:
        yield browser


def pytest_collection_modifyitems(items):
    """Long files first, so that no process is left with one at the end."""
    items.sort(
        key=lambda item: next((i for i, name in enumerate(LONG) if f"tests/{name}" in item.path.as_posix()), len(LONG))
    )


def pytest_collection_finish():
    """What libraries and tests are made of is no garbage: looking for some takes no time on it."""
    gc.freeze()


def pytest_addoption(parser):
    help_text = (
        "fail if a test is skipped, unless its reason contains one of these words (comma-separated; may be empty)"
    )
    parser.addoption("--expected-skips", metavar="WORDS", help=help_text)


def skips(config):
    """How many tests were skipped, by their reasons; those of all processes."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    reports = reporter.stats.get("skipped", []) if reporter else []
    return Counter(report.longrepr[2].removeprefix("Skipped: ") for report in reports)


def unexpected(config):
    """The reasons of skips that `--expected-skips` does not allow."""
    allowed = config.getoption("--expected-skips")
    if allowed is None:
        return []
    words = [word.strip() for word in allowed.split(",") if word.strip()]
    return [reason for reason in skips(config) if not any(word in reason for word in words)]


def pytest_sessionfinish(session):
    if unexpected(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    """What was not tested, and what it takes."""
    wrong = unexpected(config)
    if counts := skips(config):
        terminalreporter.section("not tested here", yellow=True)
        for reason, number in counts.items():
            terminalreporter.line(f"{'FAILED, ' if reason in wrong else ''}{number} skipped: {reason}")
