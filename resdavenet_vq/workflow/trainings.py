"""The models of a run: what each starts from, or is imported from, and what decides its training.

A part of the plan: it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from resdavenet_vq import config as schema
from resdavenet_vq.config import Config
from resdavenet_vq.config.section import as_json
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.workflow.digests import Digests

RELEASED_FILES = ("args.pkl", "progress.pkl", "models/best_audio_model.pth", "models/best_image_model.pth")
"""The files that an imported experiment of the 2020 release may have in its folder."""


@dataclass(frozen=True)
class Trainings:
    """Parents, archives and settings of models, by the folders of their lineages."""

    config: Config
    model: Callable[[Lineage], str]
    """The model card of a lineage."""
    digests: Digests

    def parent(self, folder: str) -> Lineage | None:
        """The model that a lineage starts from; None for a first stage. An imported one is the parent for every seed."""
        parent = Lineage.from_folder(folder).parent
        plain = parent and parent.with_seed(None)
        return plain if plain and plain.folder in self.released else parent

    def parent_files(self, folder: str) -> list[str]:
        """The card and the weights of the model that a lineage starts from; none for a first stage."""
        parent = self.parent(folder)
        return [self.model(parent), self.model(parent).replace(".json", ".safetensors")] if parent else []

    def parent_option(self, folder: str) -> list[str]:
        """The option that names the model that a lineage starts from; none for a first stage."""
        parent = self.parent(folder)
        return ["--parent", self.model(parent)] if parent else []

    @cached_property
    def released(self) -> dict[str, Path]:
        """The archives and folders that lineages are imported from, by the lineages' folders."""
        return {Lineage.parse(notation).folder: path for notation, path in self.config.released.items()}

    def released_contents(self, folder: str) -> str:
        """The digests of what an imported model is made of: an archive, or the files of an experiment's folder."""
        path = self.released[folder]
        return self.digests.of(str(path / name) for name in RELEASED_FILES) or self.digests.of([str(path)])

    def image_weights(self, folder: str) -> list[str]:
        """The local file that a first stage's image network starts from, if there is one."""
        file = self.config.model.image.weights_file
        return [str(file)] if file and Lineage.from_folder(folder).parent is None else []

    def settings(self, folder: str) -> str:
        """What decides a training besides its data, its parent and its code."""
        settings = training_of(self.config.training, Lineage.from_folder(folder))
        return as_json(settings, exclude=settings.without_effect)

    def recipe(self, folder: str) -> str:
        """The switches that matter to a training: those of codebooks only where it has some, or new ones."""
        lineage = Lineage.from_folder(folder)
        new = set(lineage.quantizers) - set(lineage.parent.quantizers) if lineage.parent else set()
        unused = {"dead_codes": not lineage.quantizers, "new_codebooks": not new}
        return as_json(self.config.recipe, *(switch for switch in schema.TRAINING_SWITCHES if not unused.get(switch)))


def training_of(training: schema.Training, lineage: Lineage) -> schema.Training:
    """The settings of one lineage: its overrides applied and removed, and its own seed."""
    changes = {} if lineage.seed is None else {"seed": lineage.seed}
    for notation, override in training.overrides.items():
        if Lineage.parse(notation) == lineage.with_seed(None):
            changes |= override.changes
    return training.model_copy(update=changes | {"overrides": {}})
