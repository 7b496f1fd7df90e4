"""Places Audio, and any corpus in its JSON layout.

One JSON file a split: `{"audio_base_path": ..., "image_base_path": ..., "data": [row, ...]}`, the list alone, or a row
a line. A row has `wav` and `image`, paths for which `paths` has the rule, and where known `uttid`, `speaker`,
`asr_text` or `text`, `text_alignment` ("0.2__WORD__0.5 ..."), and, extensions of ours,
`phone_alignment` and `syllable_alignment` in the same notation. Whether the files exist is found out by preparation.
"""

from __future__ import annotations

from pathlib import Path

from resdavenet_vq.corpus.json_rows import JsonRows
from resdavenet_vq.corpus.manifest import NO_ALIGNMENT, Manifest
from resdavenet_vq.corpus.paths import Base
from resdavenet_vq.corpus.rows import BAD_TOKENS, Captions, Fields, kind


def read(json_path: Path, audio_base_path: Path | None = None, image_base_path: Path | None = None) -> Manifest:
    """The utterances of one JSON file, in its order.

    Base paths given here replace those of the file; a relative one in the file starts at the file's own folder, and
    where there is none that folder is the base. A row is refused if it is no object, or for what refuses a caption
    (`rows.Captions`). Raises InputError if the file as a whole is unusable: unreadable, malformed, of another layout,
    or without rows.
    """
    rows = JsonRows(json_path, "data", "the Places layout")
    audio, image = (
        Base.choose(key, configured, rows.others.get(key), json_path)
        for key, configured in (("audio_base_path", audio_base_path), ("image_base_path", image_base_path))
    )
    manifest = Manifest(counted={BAD_TOKENS: 0, NO_ALIGNMENT: 0}, lists=(json_path,))
    captions = Captions(manifest)
    for place, row in rows:
        if not isinstance(row, dict):
            manifest.refuse("", "", f"{place}: not an object but {kind(row)}")
            continue
        if "wav" not in row and isinstance(row.get("captions", row.get("caption")), list | dict):
            key = "captions" if "captions" in row else "caption"
            manifest.refuse(
                "", "", f"{place}: has `{key}` as files of SpokenCOCO have and needs corpus.layout spoken_coco"
            )
            continue
        fields = Fields(row)
        captions.add(fields, place, audio, fields.media("image", image))
    return manifest
