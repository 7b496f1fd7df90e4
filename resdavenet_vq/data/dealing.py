"""Which shard prepares which row of a corpus, and the lists that tell each shard its rows.

A row goes where a hash of its image's id sends it, or of its own id where it has no image: wherever it stands in the corpus,
and with all other rows that show the same image, which is then read and kept once. So a row added, changed or
removed concerns one shard (two, if it gets another image), and no other shard's list changes by a byte.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from resdavenet_vq import files
from resdavenet_vq.corpus.manifest import Manifest, Refusal, Utterance, refusals
from resdavenet_vq.errors import InputError

DIGESTS = "rows.json"
ORDER = "order.json"
_REMEDY = "deal the rows again (snakemake --forcerun deal_rows)"


class ShardRows(NamedTuple):
    """What a shard prepares."""

    manifest: Manifest
    numbers: Sequence[int]
    """Of the rows: in the corpus if they were dealt `with_numbers`, else in the shard."""
    rows: int
    """Of the whole corpus if they were dealt `with_numbers`, else of the shard."""


class Order(NamedTuple):
    """What puts the shards together again."""

    shards: list[int]
    """The shard of each usable row, in the order of the corpus."""
    refused: list[Refusal]
    counted: dict[str, int]
    noticed: dict[str, list[str]]

    @property
    def rows(self) -> int:
        """Of the whole corpus."""
        return len(self.shards) + len({refusal.row for refusal in self.refused})

    def row_numbers(self) -> list[int]:
        """The row of the corpus in which each usable row stands."""
        taken = {refusal.row for refusal in self.refused}
        return [row for row in range(self.rows) if row not in taken]


def shard_of(utterance: Utterance, shards: int) -> int:
    """The shard that prepares a row, from 0."""
    key = f"image {utterance.image_id}" if utterance.image_id is not None else f"utterance {utterance.id}"
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest()) % shards


def check(manifest: Manifest, bad_rows: str) -> None:
    """With `bad_rows: stop`, raises InputError with all rows that the corpus's own files make unusable, before work begins."""
    if manifest.refused and bad_rows == "stop":
        raise InputError(refusals(manifest.refused, manifest.rows))


def deal(manifest: Manifest, shards: int, folder: Path, *, with_numbers: bool) -> None:
    """Writes `folder/{shard}.rows.json` where it is not there already, then the digests of all lists and their order.

    `with_numbers` a list tells where in the corpus its rows stand, as readers need that find a row by its number; lists then change when
    rows before theirs come or go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    order = [shard_of(utterance, shards) for utterance in manifest.utterances]
    members: list[list[int]] = [[] for _ in range(shards)]
    for place, shard in enumerate(order):
        members[shard].append(place)
    numbers = manifest.row_numbers()
    digests = []
    for shard, places in enumerate(members):
        rows = [json.dumps(manifest.utterances[place].to_dict(), ensure_ascii=False) for place in places]
        told = {"numbers": [numbers[place] for place in places], "rows": manifest.rows} if with_numbers else {}
        text = f'{{"corpus": {json.dumps(told)}, "utterances": [\n' + ",\n".join(rows) + "\n]}\n"
        digests.append(_digest(text))
        path = list_of(folder, shard)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            with files.atomic_write(path) as tmp:
                tmp.write_text(text, encoding="utf-8")
    content = {
        "shards": order,
        "lists": digests,
        "refused": [refusal._asdict() for refusal in manifest.refused],
        "counted": manifest.counted,
        "noticed": manifest.noticed,
    }
    files.write_json(folder / ORDER, content)
    files.write_json(folder / DIGESTS, {"order": _digest(json.dumps(content)), "shards": digests})


def list_of(folder: Path, shard: int) -> Path:
    """Where the list of a shard's rows is."""
    return folder / f"{shard}.rows.json"


def read_rows(path: Path, digest: str) -> ShardRows:
    """The rows of a shard. Raises InputError unless the list is the one that was dealt."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise InputError(f"{path}: cannot be read ({e}); {_REMEDY}") from None
    if _digest(text) != digest:
        raise InputError(f"{path}: is not the list that was dealt; {_REMEDY}")
    content = json.loads(text)
    utterances = [Utterance.from_dict(row) for row in content["utterances"]]
    told = content["corpus"]
    return ShardRows(
        Manifest(utterances), told.get("numbers", range(len(utterances))), told.get("rows", len(utterances))
    )


def read_order(folder: Path, digest: str) -> Order:
    """How the rows were dealt. Raises InputError unless it is what the digest tells."""
    path = folder / ORDER
    content: Any = files.read_json(path)
    if _digest(json.dumps(content)) != digest:
        raise InputError(f"{path}: is not what was dealt; {_REMEDY}")
    return Order(
        content["shards"],
        [Refusal(**refusal) for refusal in content["refused"]],
        content["counted"],
        content["noticed"],
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
