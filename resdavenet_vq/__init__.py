"""ResDAVEnet-VQ: discrete linguistic units learned from images and their spoken captions.

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
    """Loads the audio network of the model in a folder, to turn recordings into units.

    `precision` of the log-mel features: by default that of the features that the model was trained from.
    Raises InputError if the folder holds no complete model.
    """
    from resdavenet_vq.encode.recording import SpeechEncoder  # imports torch, which takes seconds

    return SpeechEncoder(Path(folder), precision)
