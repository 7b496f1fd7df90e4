"""docs/published_and_corrected.md names every switch, and only tests that exist."""

import re
from pathlib import Path

import pytest

from resdavenet_vq import config

REPO = Path(__file__).resolve().parents[1]
PAGE = (REPO / "docs" / "published_and_corrected.md").read_text()
TESTS = sorted(set(re.findall(r"`(tests/\S+\.py)::(\w+)`", PAGE)))


def test_every_switch_has_a_line_with_both_values_and_a_test():
    lines = {found[1]: line for line in PAGE.splitlines() if (found := re.match(r"\| `(\w+)` \|", line))}
    assert list(lines) == list(config.Recipe.model_fields)
    for switch, line in lines.items():
        for value in (recipe[switch] for recipe in config.RECIPES.values()):
            assert f"`{value}`" in line
        assert re.search(r"`tests/\S+::\w+`", line)


def test_every_row_of_every_table_names_a_test():
    rows = [line for line in PAGE.splitlines() if line.startswith("|") and not line.startswith("| --- ")]
    heads = [row for row in rows if row.endswith("| shown by |")]
    assert len(heads) == 3
    assert all("`tests/" in row for row in rows if row not in heads)


@pytest.mark.parametrize(("file", "name"), TESTS)
def test_a_named_test_exists(file, name):
    assert re.search(rf"^def {name}\(", (REPO / file).read_text(), re.MULTILINE)
