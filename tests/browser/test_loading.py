"""What opening a page costs: the least of some tries, since other work on the machine only adds to it."""

import json

import pytest
from browser.test_pages import PAGES, ready

TRIES = 3

CHARTS_FIRST = {"training", "words"}
"""Pages that begin with a chart for hovering, and so load the script that draws it."""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_there_at_once(browser, pages, name):
    ready(browser, pages, "index")  # the first page of a browser costs it half a second more
    tries = []
    for _ in range(TRIES):
        browser.requests.clear()
        before = browser.processor_seconds()
        loaded = browser.open(pages / f"{name}.html")
        processor = browser.processor_seconds() - before
        painted = browser.wait("performance.getEntriesByName('first-contentful-paint')[0]?.startTime") / 1000
        urls = {url.split("#")[0] for url in browser.requests if url.startswith("file:")}
        own = [pages / url.split("/report/")[1] for url in urls if "plotly" not in url]
        megabytes = sum(file.stat().st_size for file in own) / 1e6
        tries.append((loaded, painted, processor, megabytes))
    loaded, painted, processor, megabytes = map(min, zip(*tries, strict=True))
    before = browser.processor_seconds()
    ready(browser, pages, name)
    drawn = browser.processor_seconds() - before
    print(json.dumps({"page": name} | dict(zip(("loaded_s", "painted_s", "processor_s", "mb", "drawn_processor_s"), (loaded, painted, processor, megabytes, drawn), strict=True))))  # fmt: skip
    assert any("plotly" in url for url in urls) <= (name in CHARTS_FIRST)
    assert processor < (4 if name in CHARTS_FIRST else 1), "of all processes of the browser, whatever else is running"
    assert megabytes < 1, "what is not looked at is not loaded"
