"""Numbers published elsewhere, beside those of a run: on other corpora, so for orientation and no comparison."""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """A number, and what has it."""

    system: str
    number: str


class Group(NamedTuple):
    """Numbers that were measured on the same."""

    title: str
    where: str
    numbers: tuple[Published, ...]


RETRIEVAL = tuple(
    Published(f"ResDAVEnet-VQ {lineage}", f"{share} %")
    for lineage, share in (
        ("{}", "73.5"),
        ("{} → {2}", "76.0"),
        ("{} → {3}", "79.4"),
        ("{} → {2,3}", "78.7"),
        ("{2}", "75.3"),
        ("{2} → {2,3}", "76.4"),
        ("{2} → {2,3} → {2,3,4}", "79.3"),
        ("{3}", "73.4"),
        ("{3} → {2,3}", "76.0"),
        ("{2,3}", "66.7"),
    )
)
"""The ten models released in 2020, as their authors give them."""

ABX = (
    Published("best entry of the 2019 board by ABX", "20.25 % at 158.5 bit/s"),
    Published("another entry of the 2019 board", "21.67 % at 413.2 bit/s"),
    Published("VQ-VAE, later", "14.04 % at 412.2 bit/s"),
    Published("VQ-CPC, later", "13.44 % at 421.3 bit/s"),
)

WORDS = (
    Published("ResDAVEnet-VQ {3} → {2,3}, quant3", "279 (abstract of the paper)"),
    Published("ResDAVEnet-VQ {2} → {2,3} → {2,3,4}, quant4", "254; mean F1 of the best 250 is 69.36 %"),
    Published("ResDAVEnet-VQ {2} → {2,3} → {2,3,4}, quant3", "about 8"),
    Published("ResDAVEnet-VQ {2} → {2,3}, quant3", "about 5"),
)
"""Of the paper, and counted from the outputs that were released with it."""

GROUPS = (
    Group("R@10, mean of both directions", "Places Audio, validation, 1,000 pairs", RETRIEVAL),
    Group("ABX error and bitrate", "ZeroSpeech 2019, English test, final embeddings", ABX),
    Group("Words with F1 ≥ 0.5", "Places Audio, the first 20,000 training utterances", WORDS),
)
