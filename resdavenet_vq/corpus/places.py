"""Places Audio, and any corpus in its JSON layout.

One JSON file a split: `{"audio_base_path": ..., "image_base_path": ..., "data": [row, ...]}`.
A row has `wav` and `image`, paths under the base paths, and where known `uttid`, `speaker`,
`asr_text` or `text`, `text_alignment` ("0.2__WORD__0.5 ..."), and, extensions of ours,
`phone_alignment` and `syllable_alignment` in the same notation. Whether the files exist is found out by preparation.
"""

from __future__ import annotations

from pathlib import Path

from resdavenet_vq.corpus.json_rows import JsonRows
from resdavenet_vq.corpus.manifest import NO_ALIGNMENT, Manifest, Utterance
from resdavenet_vq.corpus.rows import Fields, base_path, encodable, kind

BAD_TOKENS = "bad alignment tokens"


def read(json_path: Path, audio_base_path: Path | None = None, image_base_path: Path | None = None) -> Manifest:
    """The utterances of one JSON file, in its order.

    Base paths given here replace those of the file; a relative one in the file starts at the file's own folder, and
    where there is none that folder is the base. A row is refused if it is no object, has no `wav`, a field that is no
    text, a path that is absolute or has a `..`, or an id that an earlier row has. Raises InputError if the file as a
    whole is unusable: unreadable, malformed, of another layout, or without rows.
    """
    rows = JsonRows(json_path, "data", "the Places layout")
    audio_base = audio_base_path or base_path(rows, "audio_base_path")
    image_base = image_base_path or base_path(rows, "image_base_path")

    manifest = Manifest(counted={BAD_TOKENS: 0, NO_ALIGNMENT: 0})
    place_of_id: dict[str, str] = {}
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            manifest.refuse("", "", f"not an object but {kind(row)}")
            continue
        fields = Fields(row)
        wav, image = fields.path("wav", required=True), fields.path("image")
        utterance_id = fields.utterance_id(wav, f"row {number}", place_of_id)
        asr_text, text, speaker = fields.text("asr_text"), fields.text("text"), fields.text("speaker")
        words, bad_words = fields.alignment("text_alignment")
        phones, bad_phones = fields.alignment("phone_alignment")
        syllables, bad_syllables = fields.alignment("syllable_alignment")
        if fields.faults or wav is None:
            manifest.refuse(utterance_id, encodable(row.get("wav")), "; ".join(fields.faults))
            continue
        manifest.counted[BAD_TOKENS] += bad_words + bad_phones + bad_syllables
        manifest.counted[NO_ALIGNMENT] += words is None
        files = audio_base / wav, None if image is None else image_base / image
        text = text if asr_text is None else asr_text
        manifest.add(Utterance(utterance_id, *files, image, speaker, text, words, phones, syllables))
    return manifest
