"""The results folder of the report's tests."""

from report.conftest import folder, results  # noqa: F401 - fixtures
