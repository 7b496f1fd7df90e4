"""Numbers published elsewhere, beside those of a run: on other corpora, so for orientation and no comparison."""

from __future__ import annotations

from typing import NamedTuple

from resdavenet_vq.gaps import Task


class Group(NamedTuple):
    """Numbers that were measured on the same, by the system that has them."""

    title: str
    where: str
    task: Task
    numbers: dict[str, str]


GROUPS = (
    Group(  # the ten models released in 2020, as their authors give them
        "R@10, mean of both directions",
        "Places Audio, validation, 1,000 pairs",
        "retrieval",
        {
            "ResDAVEnet-VQ {}": "73.5 %",
            "ResDAVEnet-VQ {} → {2}": "76.0 %",
            "ResDAVEnet-VQ {} → {3}": "79.4 %",
            "ResDAVEnet-VQ {} → {2,3}": "78.7 %",
            "ResDAVEnet-VQ {2}": "75.3 %",
            "ResDAVEnet-VQ {2} → {2,3}": "76.4 %",
            "ResDAVEnet-VQ {2} → {2,3} → {2,3,4}": "79.3 %",
            "ResDAVEnet-VQ {3}": "73.4 %",
            "ResDAVEnet-VQ {3} → {2,3}": "76.0 %",
            "ResDAVEnet-VQ {2,3}": "66.7 %",
        },
    ),
    Group(
        "ABX error and bitrate",
        "ZeroSpeech 2019, English test, final embeddings",
        "abx",
        {
            "best entry of the 2019 board by ABX": "20.25 % at 158.5 bit/s",
            "another entry of the 2019 board": "21.67 % at 413.2 bit/s",
            "VQ-VAE, later": "14.04 % at 412.2 bit/s",
            "VQ-CPC, later": "13.44 % at 421.3 bit/s",
        },
    ),
    Group(  # of the paper, and counted from the outputs that were released with it
        "Words with F1 ≥ 0.5",
        "Places Audio, the first 20,000 training utterances",
        "words",
        {
            "ResDAVEnet-VQ {3} → {2,3}, quant3": "279 (abstract of the paper)",
            "ResDAVEnet-VQ {2} → {2,3} → {2,3,4}, quant4": "254; mean F1 of the best 250 is 69.36 %",
            "ResDAVEnet-VQ {2} → {2,3} → {2,3,4}, quant3": "about 8",
            "ResDAVEnet-VQ {2} → {2,3}, quant3": "about 5",
        },
    ),
)
