"""The results folder of the report's tests."""

from report.conftest import results  # noqa: F401 - a fixture
