"""What MkDocs cannot know of pages that are written to be read on GitHub, too: mkdocs.yml names this file as its hooks.

The navigation follows the index docs/README.md: its headings are the sections, its links the pages. README.md is the first page. Pages outside docs/ get a place in
the site, other files that pages link to are copied into `files/`, and links are rewritten accordingly. The public classes are appended to api.md. A script that
the theme would load over the network lies beside the pages (javascript/, version 1.0.4).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
INDEX = "docs/README.md"
PLACES = {
    "README.md": "index.md",
    INDEX: "questions.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "benchmarks.md",
}
"""Pages with another path in the site than below docs/."""
SOURCES = {place: source for source, place in PLACES.items()}
WORKER = re.compile(r'https://[^"]*/iframe-worker/shim')
"""What the theme's search uses in a page that was opened from disk, where browsers start no worker."""
CODE = re.compile(r"(^```.*?^```$|`[^`\n]*`)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)")


def place(source: str) -> str:
    """The path in the site of a file, given by its path in the repository."""
    return PLACES.get(source) or (source.removeprefix("docs/") if source.startswith("docs/") else f"files/{source}")


def targets(source: str, text: str) -> Iterator[str]:
    """The repository paths of the files that a page links to."""
    for prose in CODE.split(text)[::2]:
        for link in LINK.findall(prose):
            yield posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def with_links_of_the_site(source: str, text: str) -> str:
    """The page with its links, which are relative to its place in the repository, relative to its place in the site."""
    here = posixpath.dirname(place(source))

    def moved(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[1]))
        return posixpath.relpath(place(target), here or ".")

    parts = CODE.split(text)
    return "".join(part if i % 2 else LINK.sub(moved, part) for i, part in enumerate(parts))


def navigation(index: str) -> list[dict[str, Any]]:
    """The sections of the index with their pages, in its order; a page that several questions lead to is where it is first."""
    sections: list[dict[str, Any]] = [{"Home": [{"resdavenet-vq": "index.md"}, {"Which page?": "questions.md"}]}]
    known = {"README.md", INDEX}
    for section in re.split(r"^## ", index, flags=re.MULTILINE)[1:]:
        heading, _, rows = section.partition("\n")
        pages = []
        for name, link in re.findall(r"\[([^]]*)\]\(([^)\s#]+\.md)[#)]", rows):
            source = posixpath.normpath(posixpath.join("docs", link))
            if source not in known:
                known.add(source)
                pages.append({name[0].upper() + name[1:]: place(source)})
        sections.append({heading.strip(): pages})
    return sections


def on_config(config: Any) -> Any:
    """The navigation."""
    config.nav = navigation((REPOSITORY / INDEX).read_text(encoding="utf-8"))
    return config


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages outside docs/, and every file outside docs/ that a page links to."""
    from mkdocs.structure.files import File

    files.remove(files.get_file_from_path("README.md"))
    sources = list(PLACES) + [f"docs/{file.src_uri}" for file in files.documentation_pages()]
    for source in sources:  # grows while it is read: pages found in this way have links, too
        path = REPOSITORY / source
        if files.get_file_from_path(place(source)) is None:
            files.append(File.generated(config, place(source), abs_src_path=str(path)))
        if path.suffix == ".md":
            text = path.read_text(encoding="utf-8")
            sources += [t for t in targets(source, text) if t not in sources and (REPOSITORY / t).is_file()]
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page with links of the site; the API's with the reference of its classes."""
    place_here = page.file.src_uri
    source = SOURCES.get(place_here) or (
        place_here.removeprefix("files/") if place_here.startswith("files/") else f"docs/{place_here}"
    )
    text = with_links_of_the_site(source, markdown)
    return text + reference() if place_here == "api.md" else text


def on_post_build(config: Any) -> None:
    """Lets every page load the script of the search from the site itself."""
    site = Path(config.site_dir)
    for page in site.rglob("*.html"):
        script = "../" * (len(page.relative_to(site).parts) - 1) + "javascript/iframe-worker.js"
        page.write_text(WORKER.sub(script, page.read_text(encoding="utf-8")), encoding="utf-8")


def reference() -> str:
    """Directives from which mkdocstrings makes the reference of every public class, from its docstrings."""
    import resdavenet_vq

    names = [name for name in resdavenet_vq.__all__ if not name.startswith("_")]
    return "\n\n## Reference\n\n" + "\n\n".join(f"::: resdavenet_vq.{name}" for name in names) + "\n"
