"""The site of the docs: its navigation and links, and, where MkDocs is installed, a strict build that is searched in a browser from disk."""

import html
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]

spec = importlib.util.spec_from_file_location("mkdocs_hooks", REPO / "docs/mkdocs_hooks.py")
hooks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(hooks)


def test_links_keep_their_files_in_the_site():
    text = "[a](docs/units.md#top) [b](CONTRIBUTING.md) ![c](docs/pictures/x.png) [d](configs/places.yaml) [e](https://x.org/a) `[f](g.md)` [h](#i)"
    assert hooks.with_links_of_the_site("README.md", text) == (
        "[a](units.md#top) [b](contributing.md) ![c](pictures/x.png) [d](files/configs/places.yaml) [e](https://x.org/a) `[f](g.md)` [h](#i)"
    )
    text = "[`code`](../README.md) [b](../benchmarks/README.md#start-up) [c](README.md) [d](tutorials/a.md)\n```\n[e](../README.md)\n```\n"
    assert hooks.with_links_of_the_site("docs/api.md", text) == (
        "[`code`](index.md) [b](benchmarks.md#start-up) [c](questions.md) [d](tutorials/a.md)\n```\n[e](../README.md)\n```\n"
    )
    assert hooks.with_links_of_the_site("docs/tutorials/a.md", "[a](../units.md) [b](../../README.md) [c](b.md)") == (
        "[a](../units.md) [b](../index.md) [c](b.md)"
    )


def test_navigation_follows_the_index():
    index = "# Which?\n\n## Start\n\n| q | p |\n| --- | --- |\n| ? | [README](../README.md) |\n| ? | [units](units.md#x), [file](a.json) |\n"
    index += "## Your data\n| ? | [abx](abx.md) and [ABX again](abx.md) |\n| ? | [tutorial](tutorials/a.md) |\n"
    assert hooks.navigation(index)[1:] == [
        {"Start": [{"Units": "units.md"}]},
        {"Your data": [{"Abx": "abx.md"}, {"Tutorial": "tutorials/a.md"}]},
    ]


def test_every_page_is_in_the_navigation_once():
    pages = [page for section in hooks.navigation((REPO / hooks.INDEX).read_text()) for page in section.values()]
    places = [place for page in pages for entry in page for place in entry.values()]
    docs = [path.relative_to(REPO).as_posix() for path in (REPO / "docs").rglob("*.md")]
    assert sorted(places) == sorted(map(hooks.place, {*docs, *hooks.PLACES}))
    assert len(pages) == 9


def test_the_picture_of_the_architecture_shows_its_source():
    source = (REPO / "docs/architecture.dot").read_text()
    picture = (REPO / "docs/pictures/architecture.svg").read_text()
    texts = {html.unescape(text) for text in re.findall(r"<text [^>]*>([^<]*)</text>", picture)}
    labels = set(re.findall(r'label="([^"]*)"', source)) | {"embeddings", "maps", "features", "codes"}
    assert texts == labels


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site as `mkdocs build` makes it; strict, as mkdocs.yml says, so that any warning fails."""
    if not (importlib.util.find_spec("material") and importlib.util.find_spec("mkdocstrings")):
        pytest.skip("MkDocs with its theme is not installed (make .venv/docs)")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--config-file", REPO / "mkdocs.yml", "--site-dir", out]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, env=quiet, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return out


def test_the_site_has_every_page_and_every_public_class(site):
    for source in [*hooks.PLACES, *(path.relative_to(REPO).as_posix() for path in (REPO / "docs").rglob("*.md"))]:
        assert (site / hooks.place(source)).with_suffix(".html").is_file(), source
    api = (site / "api.html").read_text()
    assert {"resdavenet_vq.SpeechEncoder.from_pretrained", "resdavenet_vq.DualEncoder.matchmap", "resdavenet_vq.InputError"} <= set(
        re.findall(r'id="([\w.]+)"', api)
    )  # fmt: skip


def test_lists_and_tables_are_those_of_the_sources(site):
    """Markdown of GitHub and of MkDocs differ in what begins a list or a table."""
    for source in (REPO / "docs").glob("*.md"):
        text = re.sub(r"^```.*?^```$", "", source.read_text(), flags=re.MULTILINE | re.DOTALL)
        if source.name in {"README.md", "api.md"}:  # at another place, and with the reference
            continue
        page = (site / source.with_suffix(".html").name).read_text()
        article = page[page.index("<article") : page.index("</article>")]
        assert article.count("<li>") == len(re.findall(r"^ *(?:[-*]|\d+\.) ", text, re.MULTILINE)), source.name
        assert article.count("<table>") == len(re.findall(r"^\|(?: ?:?-+:? ?\|)+$", text, re.MULTILINE)), source.name


def test_no_page_needs_the_network(site):
    for page in site.rglob("*.html"):
        loaded = re.findall(r'<(?:script|img|iframe)[^>]*\bsrc="([^"]*)"', page.read_text())
        loaded += re.findall(r'<link [^>]*rel="(?:stylesheet|icon|preconnect)"[^>]*href="([^"]*)"', page.read_text())
        assert [url for url in loaded if re.match(r"(?:[a-z]+:)?//", url)] == [], page.name


def test_the_search_works_from_disk(chromium, site):
    chromium.size(1280)
    chromium.requests.clear()
    chromium.open(site / "index.html", "?q=matchmap")
    chromium.wait("document.querySelectorAll('.md-search-result__item').length > 0")
    assert "retrieval.html" in chromium.evaluate(
        "[...document.querySelectorAll('.md-search-result__link')].map(a => a.href).join(' ')"
    )
    assert [url for url in chromium.requests if not url.startswith(("file:", "about:", "data:", "blob:"))] == []
