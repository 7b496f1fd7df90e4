"""A trained model from a folder, an archive of 2020 or the Hugging Face hub, and back to a folder or the hub."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch

from resdavenet_vq import devices, model_card
from resdavenet_vq.errors import InputError, printable, shortened
from resdavenet_vq.evaluation.summary import read_scores
from resdavenet_vq.files import check_outputs, together
from resdavenet_vq.model import checkpoint, dual_encoder
from resdavenet_vq.release import importing
from resdavenet_vq.release.archives import ARGUMENTS

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""Of the networks' arithmetic. float16 would overflow."""

_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*")
_EXTRA = "pip install 'resdavenet-vq[hub]'"


@dataclass(frozen=True)
class Pretrained:
    """A network, its card (`model.json`), and where and how it computes."""

    source: Path
    """The folder, archive or hub id that it came from: its name in errors."""
    network: dual_encoder.DualEncoder
    card: dict[str, Any]
    device: torch.device
    dtype: torch.dtype

    @classmethod
    def load(
        cls,
        source: str | Path,
        *,
        audio_only: bool = False,
        revision: str | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = torch.float32,
    ) -> Self:
        """The model of a source, on a device: by default the GPU if there is one.

        Raises InputError if there is no such model, if it is damaged, and for a device or dtype that cannot be used.
        """
        where, kind = _device(device), _dtype(dtype)
        network, card = _load(source, revision, audio_only=audio_only)
        return cls(Path(source), network.to(where), card, where, kind)

    @property
    def lineage(self) -> str:
        """In notation, `{}->{2}->{2,3}`; the empty text where the card does not say."""
        return str(self.card.get("lineage") or "")

    def save(self, folder: str | Path, *, scores: str | Path | None, license: str | None) -> None:  # noqa: A002
        """Writes the weights, `model.json` and the model card, README.md; all of them or none.

        `scores` is a `scores.csv` of the model's corpus. Raises InputError if the folder has such files already.
        """
        folder = Path(folder)
        files = [folder / name for name in (checkpoint.WEIGHTS, checkpoint.CARD, model_card.NAME)]
        if existing := [str(file) for file in files if file.exists()]:
            raise InputError(f"{', '.join(existing)}: is there already; save to another folder, or remove it")
        rows = [] if scores is None else _rows(Path(scores))
        if scores is not None and not any(model_card.is_of(row, self.card) for row in rows):
            raise InputError(f"{scores}: has no score of {self.lineage or 'this model'}; name that of its corpus")
        check_outputs(*files)
        is_part = self.card.get("image_branch") and isinstance(self.network.image, dual_encoder.NoImageEncoder)
        card = self.card | ({"part_of": self.card.get("sha256")} if is_part else {})
        with together():
            description = checkpoint.save(folder, self.network, card)
            model_card.write(folder, description, checkpoint.parameters(self.network), rows, license)

    def push(
        self,
        repo_id: str,
        *,
        private: bool,
        scores: str | Path | None,
        license: str | None,  # noqa: A002
    ) -> str:
        """Uploads what `save` writes to a repository of the hub, made if there is none. Returns its address."""
        if not _HUB_ID.fullmatch(repo_id):
            raise InputError(f"{repo_id!r} is no id of a repository of the hub, which is like user/name")
        hub = _hub(repo_id)
        with tempfile.TemporaryDirectory(prefix="resdavenet-vq-") as tmp:
            folder = Path(tmp) / "model"
            self.save(folder, scores=scores, license=license)
            with _asking_hub(repo_id):
                api = hub.HfApi()
                url = api.create_repo(repo_id, private=private, exist_ok=True)
                files = [hub.CommitOperationAdd(file.name, file) for file in sorted(folder.iterdir())]
                api.create_commit(repo_id, files, commit_message="A model of resdavenet-vq")  # all of them or none
        return str(url)

    def describe(self, name: str, lines: dict[str, str], part: torch.nn.Module) -> str:
        """The `repr` of an encoder of this model."""
        rows = {"lineage": self.lineage or "unknown"} | lines
        rows |= {
            "parameters": f"{checkpoint.parameters(part):,}",
            "on": f"{self.device}, {str(self.dtype).removeprefix('torch.')}",
        }
        return printable("\n".join([f"{name}(", *(f"  {key}: {value}" for key, value in rows.items()), ")"]), keep="\n")


def _rows(scores: Path) -> list[dict[str, Any]]:
    """The rows of a `scores.csv`; empty cells are None."""
    table = read_scores(scores).astype(object)
    rows = table.where(table.notna(), None).itertuples(index=False, name=None)
    return [dict(zip(map(str, table), row, strict=True)) for row in rows]


def _device(device: str | torch.device | None) -> torch.device:
    if device is None:
        return devices.device()
    try:  # PyTorch raises each of these: for a word that is no device, a type that is none, one that was not built in, or is off
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as e:
        why = shortened(str(e).partition("\n")[0], 200)
        raise InputError(f"device={device!r} cannot be used here ({why}); leave it out, or take 'cpu'") from None
    return found


def _dtype(dtype: str | torch.dtype) -> torch.dtype:
    found = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if found is None or found not in DTYPES.values():
        raise InputError(f"dtype={dtype!r} is none of {', '.join(DTYPES)}")
    return found


def _load(
    source: str | Path, revision: str | None, *, audio_only: bool
) -> tuple[dual_encoder.DualEncoder, dict[str, Any]]:
    if not isinstance(source, str | Path):
        raise InputError(f"a model is named by a folder, an archive or a hub id, not by a {type(source).__name__}")
    path = Path(source)
    if revision is not None and path.exists():
        raise InputError(f"{source}: is a path, which has no revisions; leave out revision=")
    if path.is_file() or (path / ARGUMENTS).is_file():
        released = importing.read_released(path, allow_unknown=False)
        if audio_only:
            released.network.image = dual_encoder.NoImageEncoder()
        return released.network.eval(), released.card | {"image_branch": released.image_branch}
    if path.is_dir() or not _HUB_ID.fullmatch(str(source)):
        return checkpoint.load(path, audio_only=audio_only)
    hub = _hub(str(source))
    with _asking_hub(str(source)):
        files = [
            Path(hub.hf_hub_download(str(source), name, revision=revision))
            for name in (checkpoint.CARD, checkpoint.WEIGHTS)
        ]
    return checkpoint.load(files[0].parent, audio_only=audio_only)


def _hub(repo_id: str) -> Any:
    """huggingface_hub, which is optional."""
    try:
        import huggingface_hub
    except ModuleNotFoundError:
        raise InputError(
            f"{repo_id}: is no file or folder here; if it is a repository of the Hugging Face hub, its client is "
            f"needed: {_EXTRA}"
        ) from None
    return huggingface_hub


@contextmanager
def _asking_hub(repo_id: str) -> Iterator[None]:
    """Tells what the hub refuses, and that it cannot be reached, in a line that names the repository."""
    from huggingface_hub import errors

    try:
        yield
    except errors.EntryNotFoundError as e:
        why = shortened(str(e).partition("\n")[0], 300)
        raise InputError(f"{repo_id}: holds no model of this software, or the hub cannot be reached ({why})") from None
    except errors.RepositoryNotFoundError:
        what = "is no file or folder here, and no repository of the hub that you may see"
        raise InputError(f"{repo_id}: {what}; check its name, and that you are logged in (hf auth login)") from None
    except errors.RevisionNotFoundError:
        raise InputError(f"{repo_id}: has no such revision on the hub") from None
    except (errors.HfHubHTTPError, errors.HFValidationError, OSError) as e:
        why = shortened(next((line for line in str(e).split("\n") if line.strip()), type(e).__name__), 300)
        raise InputError(f"{repo_id}: the hub refuses, or cannot be reached ({why})") from None
