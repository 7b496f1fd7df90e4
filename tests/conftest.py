"""What all tests share: long files first, so that no process is left with one at the end, and settings of Hypothesis."""

import os

from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported: threads that spin slow down the rest

# A busy machine is no fault of an example, and fixtures hold folders that examples overwrite.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.load_profile("suite")

LONG = ("workflow/test_workflow.py", "cluster/", "workflow/")


def pytest_collection_modifyitems(items):
    items.sort(
        key=lambda item: next((i for i, name in enumerate(LONG) if f"tests/{name}" in item.path.as_posix()), len(LONG))
    )
