"""Where an unfinished training keeps what it needs to go on.

The state of a lineage lives in one folder, outside declared outputs:

    state/lock                        held while a process trains here; names it
    state/KEY/identity.json           everything that decides the result; KEY is its hash
    state/KEY/checkpoint-000012.pt    tensors and plain values only
    state/KEY/latest.json             which checkpoint counts, and its SHA-256

A run resumes its own key and never another's: other settings, data, parent or code start
anew, and going back to the old ones finds their state again. `latest.json` is replaced only
after the checkpoint that it names is whole and on disk, so that a kill at any moment leaves
the previous checkpoint or the new one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resdavenet_vq.errors import InputError
from resdavenet_vq.files import atomic_write, read_json, sha256, write_json


@dataclass(frozen=True)
class State:
    """The state of one identity under a lineage's state folder."""

    root: Path
    identity: Mapping[str, Any]
    """JSON values: all that decides the result."""

    @property
    def folder(self) -> Path:
        """`root/KEY`."""
        text = json.dumps(self.identity, sort_keys=True, ensure_ascii=False)
        return self.root / hashlib.sha256(text.encode()).hexdigest()[:16]

    def load(self) -> dict[str, Any] | None:
        """The latest checkpoint, on the CPU; None if there is none. Raises InputError if it is damaged."""
        manifest_path = self.folder / "latest.json"
        if not manifest_path.exists():
            return None
        manifest = read_json(manifest_path)
        path = self.folder / manifest["file"]
        if not path.is_file() or sha256(path) != manifest["sha256"]:
            fault = "its bytes have changed since it was written" if path.is_file() else "it is missing"
            raise InputError(
                f"{path}: the checkpoint to resume from is damaged ({fault}); remove {self.folder} to train from the start"
            )
        import torch

        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Makes `state` the latest checkpoint: tensors, containers and plain values.

        Raises InputError if it cannot be written; the checkpoint before stays.
        """
        import torch

        self.folder.mkdir(parents=True, exist_ok=True)
        manifest_path = self.folder / "latest.json"
        number = read_json(manifest_path)["number"] + 1 if manifest_path.exists() else 1
        path = self.folder / f"checkpoint-{number:06}.pt"
        try:
            write_json(self.folder / "identity.json", self.identity)
            with atomic_write(path) as tmp:
                torch.save(dict(state), tmp)
            write_json(manifest_path, {"number": number, "file": path.name, "sha256": sha256(path)})
        except (OSError, RuntimeError) as e:  # torch.save reports a full disk as a RuntimeError
            raise InputError(
                f"{path}: cannot be written ({e}); make room and start the same command again, it goes on from the checkpoint before"
            ) from e
        self._remove(path for path in self._checkpoints() if path.name != f"checkpoint-{number:06}.pt")

    def discard(self) -> None:
        """Removes the checkpoint of a finished training; the identity stays as a record."""
        (self.folder / "latest.json").unlink(missing_ok=True)
        self._remove(self._checkpoints())

    def others(self) -> list[str]:
        """One line for each unfinished training of another identity: where it is kept and what differs."""
        lines = []
        for manifest in sorted(self.root.glob("*/latest.json")):
            if manifest.parent == self.folder:
                continue
            changes = differences(read_json(manifest.with_name("identity.json")), self.identity)
            lines.append(
                f"{manifest.parent}: an unfinished training with other settings is kept, not used here: {'; '.join(changes)}"
            )
        return lines

    def _checkpoints(self) -> list[Path]:
        """Every checkpoint in the folder, and what a kill left of one that was being written."""
        return [*self.folder.glob("checkpoint-*.pt"), *self.folder.glob(".*.tmp")]

    @staticmethod
    def _remove(paths: Any) -> None:
        for path in paths:
            path.unlink(missing_ok=True)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """`training.epochs 6 -> 12` for every value that differs between two identities."""
    before, after = _flat(old), _flat(new)
    return [
        f"{key} {before.get(key, 'absent')} -> {after.get(key, 'absent')}"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Dotted names and JSON texts of the leaves of nested mappings."""
    if isinstance(value, Mapping):
        return {
            k: v
            for key, inner in value.items()
            for k, v in _flat(inner, f"{prefix}.{key}" if prefix else str(key)).items()
        }
    return {prefix: json.dumps(value, sort_keys=True)}
