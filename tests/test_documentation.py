"""The pages link to what is there: files, headings and pictures; and every page is found from the index."""

import json
import re
import unicodedata
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

REPO = Path(__file__).resolve().parents[1]
PAGES = [REPO / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    (REPO / "docs").rglob("*.md")
)
PAGES += sorted((REPO / "notebooks").glob("*.ipynb"))
PICTURES = {".png", ".jpg", ".svg"}


class Link(NamedTuple):
    """From a page to a file, by its relative path, and to a heading in it."""

    page: Path
    target: str
    anchor: str

    @property
    def file(self) -> Path:
        return self.page.parent / self.target if self.target else self.page


def written(page):
    """The text of a page, of a notebook that of its cells of prose."""
    text = page.read_text()
    if page.suffix != ".ipynb":
        return text
    return "\n\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown")


def prose(page):
    """A page without its code, in which brackets are no links."""
    text = written(page)
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.MULTILINE | re.DOTALL))


def links(page):
    """Every link and picture of a page that leads to no other site."""
    found = re.findall(r"\]\(<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\)", prose(page))
    found += re.findall(r"<(?:img|a)\b[^>]*\b(?:src|href)=\"([^\"]+)\"", prose(page))
    return [Link(page, *target.partition("#")[::2]) for target in found if not re.match(r"[a-z]+:", target)]


def anchors(text):
    """What a heading is called in a link, as GitHub names it: small letters, hyphens for spaces, no punctuation; the second of a name has -1."""
    names, taken = [], {}
    for heading in re.findall(
        r"^#{1,6} +(.+?) *#* *$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    ):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        name = "".join(c for c in plain if c in " -_" or unicodedata.category(c)[0] in "LNM").replace(" ", "-")
        names.append(name + (f"-{taken[name]}" if name in taken else ""))
        taken[name] = taken.get(name, 0) + 1
    return names


LINKS = [link for page in PAGES for link in links(page)]


def test_links_are_found_and_code_has_none(tmp_path):
    text = 'a [b](c.md#d) `[x](y)` ![p](q.png "t")\n```\n[n](o)\n```\n<img src="r.svg"> [out](https://example.org/a.md)'
    page, notebook = tmp_path / "page.md", tmp_path / "page.ipynb"
    page.write_text(text)
    cells = [{"cell_type": "markdown", "source": [text]}, {"cell_type": "code", "source": ["[i](j)"]}]
    notebook.write_text(json.dumps({"cells": cells}))
    for file in (page, notebook):
        assert [(link.target, link.anchor) for link in links(file)] == [("c.md", "d"), ("q.png", ""), ("r.svg", "")]
    assert len(LINKS) > 50


def test_headings_are_named_as_github_names_them():
    text = "# What's new, in `a.b_c`?\n## Same\n## Same\n### 1. Get → one\n```sh\n# no heading\n```\n"
    assert anchors(text) == ["whats-new-in-ab_c", "same", "same-1", "1-get--one"]


def test_every_link_leads_to_a_file_of_the_project():
    lost = [f"{link.page.name}: {link.target}" for link in LINKS if not link.file.exists()]
    assert lost == []
    outside = [f"{link.page.name}: {link.target}" for link in LINKS if not link.file.resolve().is_relative_to(REPO)]
    assert outside == []


def test_every_anchor_is_a_heading():
    lost = [
        f"{link.page.name}: {link.target}#{link.anchor}"
        for link in LINKS
        if link.anchor and link.file.suffix == ".md" and link.anchor not in anchors(written(link.file))
    ]
    assert lost == []


@pytest.mark.parametrize("picture", sorted((REPO / "docs/pictures").iterdir()), ids=lambda path: path.name)
def test_a_picture_can_be_seen_and_is_shown(picture):
    if picture.suffix != ".svg":
        with Image.open(picture) as image:
            image.verify()
    assert picture.stat().st_size <= 400_000
    assert picture.resolve() in {link.file.resolve() for link in LINKS if link.file.suffix in PICTURES}


def test_pictures_say_what_they_show():
    assert [
        f"{page.name}: {file}"
        for page in PAGES
        for alt, file in re.findall(r"!\[([^]]*)\]\(([^)\s]+)", written(page))
        if not alt
    ] == []


def test_every_page_is_in_the_index_once_at_least():
    index = REPO / "docs/README.md"
    listed = {link.file.resolve() for link in links(index)}
    assert [page.name for page in (REPO / "docs").rglob("*.md") if page != index and page.resolve() not in listed] == []
    assert index in {link.file.resolve() for link in links(REPO / "README.md")}
