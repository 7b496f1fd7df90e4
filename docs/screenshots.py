"""Makes docs/pictures from a finished report: `python docs/screenshots.py results/spoken_scenes/report`.

Needs a Chromium (see tests/browser/chromium.py). With --all FOLDER it takes every page, wide and narrow, light and
dark, into that folder.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from browser.chromium import Chromium  # noqa: E402 - from the folder above

PAGES = ("index", "training", "words", "units", "utterances", "retrieval", "abx", "commands")

# name: page, address within it, height in pixels, and the element at the top
PICTURES = {
    "overview": ("index", "", 620, "h1"),
    "words": ("words", "", 640, ".pair"),
    "units": ("units", "", 860, ".explorer"),
    "utterance": ("utterances", "", 700, "#utterance"),
    "matchmap": ("retrieval", "", 800, "#where"),
}


def take(report: Path, out: Path) -> None:
    """The pictures of the README and the docs."""
    with Chromium() as browser:
        for name, (page, fragment, height, element) in PICTURES.items():
            browser.size(1280, height)
            browser.open(report / f"{page}.html", fragment)
            time.sleep(2)
            browser.evaluate(
                f"window.scrollTo(0, document.querySelector({element!r}).getBoundingClientRect().top - 16)"
            )
            time.sleep(2)
            browser.screenshot(out / f"{name}.png")


def take_all(report: Path, out: Path) -> None:
    """Every page in four looks, whole."""
    out.mkdir(parents=True, exist_ok=True)
    with Chromium() as browser:
        for page in PAGES:
            for width, dark in ((1280, False), (390, False), (1280, True), (390, True)):
                browser.size(width, 900, dark=dark, mobile=width < 500)
                browser.open(report / f"{page}.html")
                browser.size(width, 6000, dark=dark, mobile=width < 500)  # everything is in view, and so is drawn
                time.sleep(2)
                browser.screenshot(out / f"{page}-{width}{'-dark' if dark else ''}.png", whole=True)
        for problem in browser.problems:
            print(problem)


if __name__ == "__main__":
    if "--all" in sys.argv:
        take_all(Path(sys.argv[1]), Path(sys.argv[3]))
    else:
        take(Path(sys.argv[1]), HERE / "pictures")
