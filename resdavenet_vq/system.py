"""Systems: whatever makes units or features of a split and is scored by the same rules.

A *system* is the model of a lineage, or a *reference* that models are compared with: a baseline, or units made
elsewhere. Its folder is where its results are, its notation is how tables name it:

===========================  ==================================  ==============================================
folder                       notation                            what it is
===========================  ==================================  ==============================================
none-2, none-2-seed7         {}->{2}                             a model (`lineage`)
baseline                     raw log-mel                         the log-mel features
baseline-normalized          normalized log-mel                  mean 0 and variance 1 in each band and utterance
untrained                    untrained                           the network before training
kmeans                       k-means of log-mel                  clusters of normalized log-mel windows
kmeans-of-none               k-means of {}                       clusters of the frames that enter quantizers
kmeans-of-untrained          k-means of untrained                likewise, before training
kmeans-k64, …                k-means of log-mel, 64 codes        with another codebook size than the models
external-hubert              hubert                              units or features made elsewhere
===========================  ==================================  ==============================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from resdavenet_vq.lineage import Lineage

RAW, NORMALIZED, UNTRAINED, KMEANS = "baseline", "baseline-normalized", "untrained", "kmeans"
"""Folders of baselines."""

_KMEANS = re.compile(r"kmeans(?:-of-(?P<source>.+?))?(?:-k(?P<n_codes>[1-9][0-9]*))?")
_EXTERNAL = re.compile(r"external-(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]*)")
NOTATIONS = {RAW: "raw log-mel", NORMALIZED: "normalized log-mel", UNTRAINED: "untrained"}
"""How tables write the baselines that are no clusters."""


@dataclass(frozen=True)
class Reference:
    """What models are compared with."""

    folder: str
    seed: None = None

    def __post_init__(self) -> None:
        _ = self.notation  # raises ValueError for a name that no reference has

    @classmethod
    def kmeans(cls, source: str = "", n_codes: int | None = None) -> Reference:
        """Clusters of log-mel windows, or of the layers of the network in folder `source`; None: as many as the models."""
        return cls(KMEANS + (f"-of-{source}" if source else "") + (f"-k{n_codes}" if n_codes else ""))

    @classmethod
    def external(cls, name: str) -> Reference:
        """Units or features made elsewhere."""
        return cls(f"external-{name}")

    @property
    def notation(self) -> str:
        """How tables write it."""
        if self.folder in NOTATIONS:
            return NOTATIONS[self.folder]
        if match := _EXTERNAL.fullmatch(self.folder):
            return match["name"]
        if not (match := _KMEANS.fullmatch(self.folder)):
            raise ValueError(f"{self.folder!r} is the folder of no baseline and no external units")
        source = notation(match["source"]) if match["source"] else "log-mel"
        return f"k-means of {source}" + (f", {match['n_codes']} codes" if match["n_codes"] else "")

    @property
    def source(self) -> str:
        """Of k-means, the folder of the network whose layers are clustered; "" for log-mel windows and all others."""
        match = _KMEANS.fullmatch(self.folder)
        return (match["source"] or "") if match else ""

    @property
    def n_codes(self) -> int | None:
        """Of k-means, the codebook size where it is another than the models'."""
        match = _KMEANS.fullmatch(self.folder)
        return int(match["n_codes"]) if match and match["n_codes"] else None

    @property
    def is_kmeans(self) -> bool:
        """Whether it is clusters."""
        return _KMEANS.fullmatch(self.folder) is not None

    @property
    def is_external(self) -> bool:
        """Whether it was made elsewhere."""
        return _EXTERNAL.fullmatch(self.folder) is not None

    @property
    def family(self) -> str:
        """Its notation without a codebook size: what is joined by a line where error is drawn against bitrate."""
        return Reference.kmeans(self.source).notation if self.is_kmeans else self.notation

    def __str__(self) -> str:
        return self.notation


type System = Lineage | Reference


def system(folder: str) -> System:
    """The system of a folder. Raises ValueError for a name that none has."""
    try:
        return Lineage.from_folder(folder)
    except ValueError as e:
        fault = e
    try:
        return Reference(folder)
    except ValueError:
        raise fault from None


def notation(folder: str) -> str:
    """How tables write the system of a folder. Raises ValueError for a name that none has."""
    return str(system(folder))


def parse(text: str) -> System:
    """The system, without a seed, that tables write so. Raises ValueError for a notation that none has."""
    for folder, written in NOTATIONS.items():
        if written == text:
            return Reference(folder)
    if match := re.fullmatch(r"k-means of (?P<source>.+?)(?:, (?P<n_codes>[1-9][0-9]*) codes)?", text):
        source = "" if match["source"] == "log-mel" else parse(match["source"]).folder
        return Reference.kmeans(source, int(match["n_codes"]) if match["n_codes"] else None)
    try:
        return Lineage.parse(text)
    except ValueError as e:
        fault = e
    try:
        return Reference.external(text)
    except ValueError:
        raise fault from None


def named(notation: str) -> System | None:
    """The system that a table means; None for a name that none has."""
    try:
        return parse(notation)
    except ValueError:
        return None


def is_of_sweep(notation: str) -> bool:
    """Whether it is clusters of another codebook size than the models', which are for comparisons at equal bitrate."""
    found = named(notation)
    return isinstance(found, Reference) and found.n_codes is not None


def is_untrained(notation: str) -> bool:
    """Whether it is the network before training, or clusters of its layers."""
    found = named(notation)
    return isinstance(found, Reference) and UNTRAINED in {found.folder, found.source}


def has_shown_codes(system: System) -> bool:
    """Whether pages and figures of single words and utterances show its codes, where it has some.

    Of clusters, only those of log-mel with as many codes as the models have: the others are for tables and comparisons.
    """
    return isinstance(system, Lineage) or system.is_external or system == Reference.kmeans()
