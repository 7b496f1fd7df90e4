"""Runs explore.ipynb on a folder of results: `python notebooks/run.py results/spoken_scenes`.

It keeps what a web page can show. Tables and pictures stay in the file, the pictures in few colors; sounds do not: they
would be most of the file, and no page that shows notebooks plays them. The same results give the same file. What the
prose says of the run should be read again afterwards.
"""

from __future__ import annotations

import base64
import io
import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

NOTEBOOK = Path(__file__).with_name("explore.ipynb")
COLORS = 128
"""Of a kept picture: no pixel is then off by more than a fifteenth of its range, and files are a third as large."""

SECONDS_A_CELL = 600


def execute(results: Path) -> NotebookNode:
    """The notebook after all its cells ran on a folder results/{corpus}; CellExecutionError where one fails."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=SECONDS_A_CELL,
        kernel_name="python3",
        record_timing=False,
        extra_arguments=["--HistoryManager.enabled=False"],
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
    )
    client.execute(env=os.environ | {"RESDAVENET_VQ_RESULTS": str(results.resolve())})
    return notebook


def keep(notebook: NotebookNode) -> None:
    """Takes out what only a run can show, and makes pictures small."""
    notebook.metadata.language_info = {"name": "python"}
    text = "A sound: run the cell to hear it."
    for data in (output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])):
        if "<audio" in data.get("text/html", ""):
            data["text/html"], data["text/plain"] = f"<i>{text}</i>", text
        if "image/png" in data:
            data["image/png"] = _small(data["image/png"])


def _small(png: str) -> str:
    """A picture of few colors, in base64 as it came."""
    with Image.open(io.BytesIO(base64.b64decode(png))) as picture:
        few = picture.convert("RGB").quantize(COLORS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    small = io.BytesIO()
    few.save(small, format="PNG", optimize=True)
    return base64.b64encode(small.getvalue()).decode()


if __name__ == "__main__":
    ran = execute(Path(sys.argv[1]))
    keep(ran)
    nbformat.write(ran, NOTEBOOK)
