"""Units and features that were made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resdavenet_vq.commands import Data, Overwrite, Settings, check_new, counted, for_people, say_written, section
from resdavenet_vq.errors import InputError


@for_people
def import_units(
    name: Annotated[str, typer.Option(help="What tables call them.")],
    data: Data,
    split: Annotated[str, typer.Option(help="Its name, among `files` of the settings.")],
    settings: Settings,
    report: Annotated[Path, typer.Option(help="Where the report of what matched goes (JSON).")],
    codes: Annotated[Path | None, typer.Option(help="A codes file, which detect-words and export-units take.")] = None,
    features: Annotated[Path | None, typer.Option(help="A features file, which score-abx takes.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="Number of utterances, the first of the split; 0: all.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Join units, segments or features made elsewhere to a prepared split, as codes and features."""
    from resdavenet_vq import config
    from resdavenet_vq.external.importing import import_units as run
    from resdavenet_vq.files import read_json
    from resdavenet_vq.system import Reference

    if not (codes or features):
        raise InputError("import-units writes --codes, --features or both; give at least one")
    try:
        Reference.external(name)
    except ValueError:
        raise InputError(f"--name: {name!r} can name no folder; use letters, digits, `.`, `_` and `-`") from None
    check_new(overwrite, codes, features, report)
    external = section(config.External, settings, f"external.{name}")
    run(name, data, split, external, report, codes=codes, features=features, limit=limit)
    n = read_json(report)["matched"]
    say_written(*((file, counted(n, "utterance")) for file in (codes, features) if file), (report, "what matched"))
