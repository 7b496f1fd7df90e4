"""ResDAVEnet-VQ: discrete linguistic units learned from images and their spoken captions.

from resdavenet_vq import SpeechEncoder

encoder = SpeechEncoder.from_pretrained("results/spoken_scenes/none-2-23/model")
units = encoder.encode("recording.wav")
units.codes, units.onsets, units.offsets, units.runs

What `__all__` names is for people, and docs/api.md describes it; everything else may change with any version.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from resdavenet_vq.errors import InputError

if TYPE_CHECKING:
    from resdavenet_vq.api.dual import DualEncoder, Match, Matchmap
    from resdavenet_vq.api.image import ImageEncoder
    from resdavenet_vq.api.mteb import MTEBEncoder
    from resdavenet_vq.api.speech import Frames, SpeechEncoder
    from resdavenet_vq.encode.units import Unit, Units

__version__ = "0.1.0"

__all__ = [
    "DualEncoder",
    "Frames",
    "ImageEncoder",
    "InputError",
    "MTEBEncoder",
    "Match",
    "Matchmap",
    "SpeechEncoder",
    "Unit",
    "Units",
    "__version__",
]

_MODULES = {
    "DualEncoder": "api.dual",
    "Frames": "api.speech",
    "ImageEncoder": "api.image",
    "MTEBEncoder": "api.mteb",
    "Match": "api.dual",
    "Matchmap": "api.dual",
    "SpeechEncoder": "api.speech",
    "Unit": "encode.units",
    "Units": "encode.units",
}
"""Where a public name is defined. Imported when it is first used: PyTorch takes seconds."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'resdavenet_vq' has no attribute {name!r}")
    return getattr(importlib.import_module(f"resdavenet_vq.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
