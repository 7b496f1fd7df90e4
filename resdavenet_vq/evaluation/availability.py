"""Why an evaluation has no scores of a split, and how tables and pages say so: the one place of these words."""

from __future__ import annotations

from collections.abc import Mapping

NO_WORDS = "the split has no aligned words"
NO_PHONES = "the split has no aligned phones"
NO_SYLLABLES = "the split has no aligned syllables"
NO_SPEAKERS = "the split has no speakers"
NO_IMAGES = "the split has no images"
NO_IMAGE_BRANCH = "the model has no image branch"

_REMEDIES: Mapping[str, str] = {
    NO_WORDS: "needs aligned words",
    NO_PHONES: "needs aligned phones",
    NO_SYLLABLES: "needs aligned syllables",
    NO_SPEAKERS: "needs speakers",
    NO_IMAGES: "needs images",
    NO_IMAGE_BRANCH: "needs an image branch",
}


def remedy(reason: str) -> str:
    """A reason of a score file in the short form that tables and pages show; one of another version as it is."""
    return _REMEDIES.get(reason, reason)
