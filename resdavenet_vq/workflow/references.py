"""What models are compared with: which baselines and external systems there are, and what their commands get.

A part of the plan: it imports nothing heavy.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from resdavenet_vq.config import Config
from resdavenet_vq.config.section import as_json
from resdavenet_vq.lineage import N_POSITIONS, Lineage
from resdavenet_vq.system import NORMALIZED, RAW, UNTRAINED, Reference
from resdavenet_vq.workflow.digests import Digests


@dataclass(frozen=True)
class References:
    """Baselines, and units and features made elsewhere."""

    config: Config
    root: Path
    models: tuple[Lineage, ...]
    """Each lineage that is evaluated, with one seed."""
    parent: Callable[[str], Lineage | None]
    """The model that the lineage of a folder starts from."""
    digests: Digests

    @cached_property
    def quantizers(self) -> tuple[int, ...]:
        """The numbers of the quantizers that some lineage's last stage has."""
        return tuple(sorted({n for lineage in self.models for n in lineage.quantizers}))

    @cached_property
    def baselines(self) -> tuple[Reference, ...]:
        """The baselines: features first, then clusters."""
        settings = self.config.baselines
        baselines = [Reference(RAW)] + [Reference(NORMALIZED)] * settings.normalized_logmel
        baselines += [Reference(UNTRAINED)] * settings.untrained
        if not self.quantizers:
            return tuple(baselines)
        baselines += [Reference.kmeans()] * settings.kmeans
        baselines += [Reference.kmeans(source) for source in [UNTRAINED] * settings.untrained + self._clustered]
        return (*baselines, *(Reference.kmeans(n_codes=n) for n in settings.codebook_sizes))

    @property
    def _clustered(self) -> list[str]:
        """The folders of the models whose layers are clustered: one seed of each."""
        stages: dict[str, Lineage] = {}
        for lineage in self.models:
            stage: Lineage | None = lineage
            while stage:
                stages.setdefault(str(stage), stage)
                stage = self.parent(stage.folder)
        if (texts := self.config.baselines.kmeans_of) is not None:
            return [stages[str(Lineage.parse(text))].folder for text in texts]
        return [stage.folder for stage in stages.values() if not (stage.parent or stage.quantizers)]

    def clustered_model(self, folder: str) -> list[str]:
        """The card and the weights of the network whose layers a baseline clusters; none for log-mel windows."""
        source = Reference(folder).source
        return [str(self.root / source / f"model/model.{suffix}") for suffix in ("json", "safetensors") if source]

    def clustered_option(self, folder: str) -> list[str]:
        """The option that names the network whose layers a baseline clusters; none for log-mel windows."""
        source = Reference(folder).source
        return ["--model", str(self.root / source / "model")] if source else []

    def cluster_sizes(self, folder: str) -> str:
        """The number of clusters of each layer of a baseline, as JSON: as many as the quantizer has codes, if not given."""
        sizes, given = self.config.model.quantizer.codebook_size, Reference(folder).n_codes
        of_each = sizes if isinstance(sizes, tuple) else (sizes,) * N_POSITIONS
        return json.dumps({f"quant{n}": given or of_each[n - 1] for n in self.quantizers})

    @cached_property
    def external(self) -> tuple[Reference, ...]:
        """Units and features made elsewhere."""
        return tuple(map(Reference.external, self.config.external))

    @property
    def all(self) -> tuple[Reference, ...]:
        """Both."""
        return (*self.baselines, *self.external)

    def is_continuous(self, external: Reference) -> bool:
        """Whether what was made elsewhere is features, not units."""
        return self.config.external[str(external)].is_continuous

    def external_files(self, folder: str) -> list[str]:
        """What units made elsewhere are read from, for all splits, since these share one numbering of the codes."""
        units = self.config.external[str(Reference(folder))]
        manifests = [path.with_suffix(".tsv") for path in units.files.values() if units.format == "km"]
        return list(map(str, [*units.files.values(), *manifests, *([units.codebook] if units.codebook else [])]))

    def external_contents(self, folder: str) -> str:
        """The digests of these files and folders: a touched one re-runs nothing."""
        return self.digests.of(self.external_files(folder))

    def external_settings(self, folder: str) -> str:
        """How they are read."""
        return as_json(self.config.external[str(Reference(folder))])
