"""What a person looks at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resdavenet_vq import config
from resdavenet_vq.commands import Out, Recipe, Settings, app


@app.command()
def write_report(
    results: Annotated[Path, typer.Option(help="The corpus's folder of results.")],
    lineages: Annotated[str, typer.Option(help="Comma-separated folders of lineages.")],
    split: Annotated[str, typer.Option(help="Split whose utterances are shown.")],
    settings: Settings,
    out: Out,
    recipe: Recipe = "{}",
) -> None:
    """Write the report page and everything it shows into one folder."""
    from resdavenet_vq.report import page

    page.write(
        results=results,
        lineages=lineages.split(","),
        split=split,
        out=out,
        settings=config.Report.from_json(settings),
        frame_time=config.Recipe.from_json(recipe).frame_time,
    )
