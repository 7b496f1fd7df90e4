"""Long files first, so that no process is left with one at the end."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported: threads that spin slow down the rest

LONG = ("workflow/test_workflow.py", "cluster/", "workflow/")


def pytest_collection_modifyitems(items):
    items.sort(
        key=lambda item: next((i for i, name in enumerate(LONG) if f"tests/{name}" in item.path.as_posix()), len(LONG))
    )
