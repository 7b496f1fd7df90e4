"""ResDAVEnet-VQ: discrete linguistic units learnt from images and their spoken captions.

from resdavenet_vq import load_model

model = load_model("results/spoken_scenes/none-2-23/model")
units = model.encode("recording.wav")
units.codes, units.onsets, units.offsets, units.runs
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from resdavenet_vq.encode.recording import SpeechEncoder

__version__ = "0.1.0"


def load_model(folder: str | Path, *, precision: Literal["float16", "float32"] | None = None) -> SpeechEncoder:
    """The model in a folder, ready to turn recordings into units; its image network is left out.

    `precision` of the log-mel features: by default that of the features that the model was trained from.
    Raises InputError if the folder holds no sound model.
    """
    from resdavenet_vq.encode import (
        recording as recordings,
    )  # torch takes seconds, which the command line need not wait for

    return recordings.load(folder, precision=precision)
