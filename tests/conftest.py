"""Long files first, so that no process is left with one at the end."""

LONG = ("workflow/test_workflow.py", "cluster/", "workflow/")


def pytest_collection_modifyitems(items):
    items.sort(
        key=lambda item: next((i for i, name in enumerate(LONG) if f"tests/{name}" in item.path.as_posix()), len(LONG))
    )
