"""All figures of the report and of papers: their names, what they read, and the options that they take.

`figures.paper` has a function of the same name for each. This module imports nothing heavy, since the workflow reads it in every dry run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from resdavenet_vq.gaps import Task
    from resdavenet_vq.results import Results

COLUMN, PAGE = 3.3, 7.0
"""Inches: one column, and the whole width, of a paper in two columns."""

type Source = Literal["scores", "noise", "histories", "words", "codes", "phones"]


class Figure(NamedTuple):
    """One figure."""

    name: str
    title: str
    reads: Source
    """Which files of a results folder it is drawn from."""
    options: tuple[str, ...] = ()
    width: float = COLUMN
    """In a paper, in inches."""
    on_page: bool = False
    """Whether it is on the report's overview."""
    of_codes: bool = False
    """Whether it needs units: a model with quantizers, if it is of models, or codes of any system."""
    of: tuple[Task, ...] = ()
    """The evaluations that it needs, of which each is made or there is no figure; bitrates are of ABX."""

    @property
    def reads_models(self) -> bool:
        """Whether it is drawn from the folders of models."""
        return self.reads in {"histories", "words", "codes"}

    @property
    def per_split(self) -> bool:
        """Whether a comparison has one figure for each split of ABX."""
        return self.reads in {"scores", "noise"} and "split" in self.options


_CODES = ("split", "systems", "layers", "recipe")

FIGURES = {
    figure.name: figure
    for figure in (
        Figure("retrieval", "Retrieval", "scores", on_page=True, of=("retrieval",)),
        Figure("words", "Words detected", "scores", on_page=True, of_codes=True, of=("words",)),
        Figure("abx", "ABX error", "scores", ("split",), on_page=True, of=("abx",)),
        Figure(
            "bitrate-abx",
            "Bitrate and ABX error",
            "scores",
            ("split",),
            PAGE,
            on_page=True,
            of_codes=True,
            of=("abx",),
        ),
        Figure(
            "bitrate-words",
            "Bitrate and words detected",
            "scores",
            (),
            PAGE,
            on_page=True,
            of_codes=True,
            of=("abx", "words"),
        ),
        Figure("verdict", "Units at equal bitrate", "scores", width=PAGE, of_codes=True, of=("abx",)),
        Figure("noise-retrieval", "Retrieval", "noise", on_page=True, of=("retrieval",)),
        Figure("noise-abx", "ABX error", "noise", ("split",), on_page=True, of=("abx",)),
        Figure("noise-words", "Words detected", "noise", on_page=True, of=("words",)),
        Figure("training", "Training", "histories", ("systems",)),
        Figure("codebooks", "Codebooks", "histories", ("systems",), of_codes=True),
        Figure("precision-recall", "Precision and recall", "words", ("systems", "split"), of_codes=True, of=("words",)),
        Figure(
            "words-above", "Words above each threshold", "words", ("systems", "split"), of_codes=True, of=("words",)
        ),
        Figure("confusions", "Confusions of phones", "phones", ("split", "layers", "task", "title"), PAGE),
        Figure("utterance", "Utterance", "codes", (*_CODES, "utterance", "start", "end"), PAGE),
        Figure("keyword", "Keyword", "codes", (*_CODES, "word", "places", "sounds"), PAGE),
    )
}


@dataclass(frozen=True)
class Request:
    """What a figure is drawn of; a figure ignores the options that it does not take."""

    results: Results
    width: float | None = None
    """In inches, for a paper; None for the size of a page on a screen."""
    split: str = ""
    layers: tuple[str, ...] = ()
    """`quant2`, or `none-2/quant2` for one model's; none for all."""
    utterance: str = ""
    """Its id; without one, the first that has aligned words."""
    start: float = 0.0
    end: float | None = None
    word: str = ""
    places: int = 8
    task: Literal["within", "across"] = "across"
    title: str = ""
    frame_time: Literal["published", "centred"] = "published"
