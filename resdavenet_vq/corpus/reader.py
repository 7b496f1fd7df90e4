"""From the section `corpus` of the configuration to the files of a split, and to its manifest.

Readers are imported when they are needed: the rules ask for the files.
"""

from __future__ import annotations

from pathlib import Path

from resdavenet_vq.config import Corpus, Flickr8k, PlacesAudio, SpokenCoco
from resdavenet_vq.corpus.manifest import Manifest
from resdavenet_vq.errors import InputError


def files_of(corpus: PlacesAudio | SpokenCoco | Flickr8k, split: str) -> tuple[Path, ...]:
    """The files that a split is read from, alignments apart."""
    match corpus:
        case PlacesAudio():
            return (corpus.metadata[split],)
        case SpokenCoco(karpathy_splits=None):
            return (corpus.metadata[split],)
        case SpokenCoco(karpathy_splits=Path() as splits):
            return (*corpus.metadata.values(), splits)
        case Flickr8k():
            from resdavenet_vq.corpus import flickr8k

            return flickr8k.files_of(corpus)
    raise TypeError(type(corpus))


def read(corpus: Corpus, split: str) -> Manifest:
    """The utterances of a split in the corpus's own files, with their alignments where the section names some.

    Raises InputError for an unknown split, for the demo corpus (which is in the layout of Places Audio
    once it is made), and for files that are unusable as a whole.
    """
    if split not in corpus.splits:
        raise InputError(f"the corpus {corpus.name} has no split {split!r}; known are {', '.join(corpus.splits)}")
    match corpus:
        case PlacesAudio():
            from resdavenet_vq.corpus import places

            manifest = places.read(corpus.metadata[split], corpus.audio_base_path, corpus.image_base_path)
        case SpokenCoco():
            from resdavenet_vq.corpus import spoken_coco

            manifest = spoken_coco.read(corpus, split)
        case Flickr8k():
            from resdavenet_vq.corpus import flickr8k

            manifest = flickr8k.read(corpus, split)
        case _:
            raise InputError(
                f"the corpus {corpus.name} is made, not imported; make it, then read its JSON files as layout places"
            )
    if split in corpus.alignments:
        from resdavenet_vq.corpus import alignments

        alignments.join(manifest, corpus.alignments[split], corpus.tiers)
    return manifest
