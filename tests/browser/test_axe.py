"""axe-core (axe.min.js beside this file, version 4.14.1, under the MPL 2.0) finds no violation on any page.

Wide and light, narrow and dark, and thoroughly each with the other, with everything unfolded.
"""

import json
from pathlib import Path

import pytest
from browser.test_pages import PAGES, ready

AXE = Path(__file__).with_name("axe.min.js").read_text(encoding="utf-8")

# what Plotly draws is the inside of an image with a description, and has thousands of elements
RUN = """axe.run({ exclude: [".plot-container"] }, { preload: false, resultTypes: ["violations"] }).then((results) => {
    window.violations = results.violations.map((v) => `${v.impact} ${v.id}: ${v.nodes.map((n) => n.target.join(" ")).slice(0, 5).join(", ")}`);
})"""


VIEWS = [
    *((name, "") for name in PAGES),
    ("units", "#layer=1&word=RED"),
    ("units", "#layer=2&matrix=phones"),
    ("utterances", "#rows=1.2"),
    ("utterances", "#search=red"),
]
"""Pages, and what else can be seen on them by their address."""


@pytest.mark.parametrize(
    "screens",
    [[(1280, False), (390, True)], pytest.param([(1280, True), (390, False)], marks=pytest.mark.thorough)],
    ids=["light and wide, dark and narrow", "dark and wide, light and narrow"],
)
@pytest.mark.parametrize(("name", "fragment"), VIEWS)
def test_no_page_has_a_violation(browser, pages, name, fragment, screens):
    found = {}
    for width, dark in screens:
        browser.size(width, mobile=width < 500, dark=dark)
        ready(browser, pages, name, fragment)
        browser.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true;")
        browser.evaluate(f"{AXE}; window.violations = null; {RUN}; 0")
        browser.wait("window.violations !== null", 60)
        found[width, dark] = browser.evaluate("window.violations")
    assert not any(found.values()), found


def test_a_violation_would_be_found(chromium, tmp_path):
    (tmp_path / "page.html").write_text("<!doctype html><title>a</title><main><img src=''><button></button></main>")
    chromium.open(tmp_path / "page.html")
    chromium.evaluate(f"{AXE}; window.violations = null; {RUN}; 0")
    chromium.wait("window.violations !== null", 60)
    text = json.dumps(chromium.evaluate("window.violations"))
    assert "image-alt" in text
    assert "button-name" in text
