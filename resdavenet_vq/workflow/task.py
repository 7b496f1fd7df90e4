"""A task: a command, and the results that it makes, by their names and files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

type Options = tuple[tuple[str, ...], ...]
"""Options of a command line, each with its value if it has one."""

ENCODINGS = ("embeddings", "maps", "codes", "features")
"""What a model makes of a split, in one pass."""

SIMILARITIES = ("pooled", "sisa", "misa", "sima")
"""What retrieval ranks by: the product of pooled embeddings, and the scores of the matchmap."""


class Item(NamedTuple):
    """A result by its name: files that one part of a command makes together."""

    kind: str
    """One of ENCODINGS or SIMILARITIES, or `model`, `clusters`, `abx`, `submission`, `words`."""
    folder: str
    split: str = ""
    layer: str = ""
    condition: str = ""
    edition: int = 2019

    def files(self, root: Path) -> tuple[str, ...]:
        """Its files; the first one gives it its name."""
        folder, split, layer = root / self.folder, self.split, self.layer
        condition = "" if self.condition in {"", "triphone"} else f"{self.condition}/"
        match self.kind:
            case "pooled":
                stem = folder / f"retrieval/{split}"
                files = [f"{stem}.json", f"{stem}.bootstrap.csv"]
            case "sisa" | "misa" | "sima":
                stem = folder / f"matchmap/{split}/{self.kind}"
                files = [f"{stem}.json", f"{stem}.bootstrap.csv"]
            case "abx":
                stem = folder / f"abx/{split}/{condition}{layer}"
                files = [f"{stem}.{end}" for end in ("json", "phones.csv", "speakers.csv", "bootstrap.csv")]
            case "submission":
                edition = "" if self.edition == 2019 else f".zerospeech{self.edition}"
                files = [f"{folder}/abx/{split}/{layer}{edition}.zip"]
            case "words":
                names = ("summary.json", "words.csv", "codes.csv", "bootstrap.csv")
                files = [f"{folder}/words/{layer}/{split}/{name}" for name in names]
            case "model":
                files = [f"{folder}/model/model.json", f"{folder}/model/model.safetensors"]
            case "clusters":
                files = [f"{folder}/kmeans.h5", f"{folder}/kmeans.h5.sha256"]
            case _:
                files = [f"{folder}/{self.kind}/{split}.h5", f"{folder}/{self.kind}/{split}.h5.sha256"]
        return tuple(files)


@dataclass(frozen=True)
class Result:
    """What a part of a command makes."""

    item: Item
    files: tuple[str, ...]
    options: Options
    """Those of the command that are for this result alone; where several results have the same one, it is given once."""


@dataclass(frozen=True)
class Task:
    """A command."""

    command: str
    options: Options
    """Those that all results depend on."""
    results: tuple[Result, ...]
    inputs: tuple[str, ...]
    """Small files that are read, or that say what large files contain: digests, model cards, reports."""
    data: tuple[str, ...]
    """Large files that are read; `inputs` and `contents` say what they contain."""
    code: tuple[str, ...]
    """The modules that do it."""
    contents: str = ""
    """Digests of files that are not made here."""

    def words(self, results: Sequence[Result]) -> list[str]:
        """The command line that makes some of the results."""
        options = dict.fromkeys([*self.options, *(option for result in results for option in result.options)])
        return [self.command, *(word for option in options for word in option)]
