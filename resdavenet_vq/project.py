"""A project of one's own: a folder whose Snakefile uses the installed workflow as a module, with settings to edit."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from resdavenet_vq.outputs import atomic_files

PACKAGE = Path(__file__).resolve().parent

WORKFLOW = next(
    folder for folder in (PACKAGE / "shipped", PACKAGE.parent) if folder == PACKAGE.parent or folder.is_dir()
)
"""The folder of Snakefile, rules, configurations and profiles: of a wheel in the package, of a checkout around it."""

SNAKEFILE = str(WORKFLOW / "Snakefile")

type Corpus = Literal["demo", "places", "spoken_coco", "flickr8k", "folder"]

_CONFIGURATIONS: dict[Corpus, str] = {
    "demo": "config.yaml",
    "places": "configs/places.yaml",
    "spoken_coco": "configs/spoken_coco.yaml",
    "flickr8k": "configs/flickr8k.yaml",
    "folder": "configs/small_corpus.yaml",
}

PROFILES = ("profiles/default/config.yaml", "profiles/slurm/config.yaml")

_SNAKEFILE = """\
# The installed workflow of resdavenet-vq, with the settings of config.yaml:
#
#   snakemake -n             what would run
#   snakemake --cores all    results/{corpus}/report/index.html is what to look at
#
# Rules of your own go below; input files of theirs may be any results of the workflow.

from resdavenet_vq.project import SNAKEFILE


configfile: "config.yaml"


module vq:
    snakefile:
        SNAKEFILE
    config:
        config


use rule * from vq


onstart:
    vq.onstart()


onsuccess:
    vq.onsuccess()


onerror:
    vq.onerror()
"""

_ABOUT = {
    "demo": "The demo: a corpus of spoken scenes, made on this machine, and a small model that learns from it on a CPU in minutes.",
    "places": "The ten published lineages on Places Audio 400k with the published recipe: the paths under `corpus` are yours to set.",
    "spoken_coco": "SpokenCOCO with the recipe published for Places Audio: the paths under `corpus` are yours to set.",
    "flickr8k": "Flickr8k Audio with the recipe published for Places Audio: the paths under `corpus` are yours to set.",
    "folder": "A corpus of your own, of 500 to 5,000 recordings with images, which a CPU trains on.",
}

_HEADER = """\
# {about}
#
#   snakemake -n             what would run; it names settings that are wrong and files that are not there
#   snakemake --cores all
#
# Keys that are not here have their defaults. Pages named docs/... are those of the documentation of resdavenet-vq.

"""

_FOLDER = """\
# A JSON file for each split lists its recordings; paths in it start at its own folder, if they are not absolute:
#
#   {"data": [
#     {"uttid": "u1", "speaker": "anna", "asr_text": "a red circle", "wav": "wavs/u1.wav", "image": "images/1.png",
#      "text_alignment": "0.10__a__0.14 0.14__red__0.40 0.40__circle__0.93"}
#   ]}
#
# `wav` is required, `image` for training and retrieval, `text_alignment` for word detection (docs/add_a_corpus.md).
corpus:
  layout: places      # the layout of these JSON files
  name: mine          # results appear in results/mine
  metadata: {train: train.json, val: val.json, test: test.json}

"""


def files_of(folder: Path) -> list[Path]:
    """The files of a project: Snakefile, config.yaml and profiles."""
    return [folder / name for name in ("Snakefile", "config.yaml", *PROFILES)]


def write_project(folder: Path, corpus: Corpus) -> None:
    """Writes the files of a project into a folder, which may hold others. Raises InputError if one cannot be written."""
    shipped = (WORKFLOW / _CONFIGURATIONS[corpus]).read_text(encoding="utf-8")
    _, _, settings = shipped.partition("\n\n")  # without its first comment, about the file in its place in WORKFLOW
    header = _HEADER.format(about=_ABOUT[corpus]) + (_FOLDER if corpus == "folder" else "")
    texts = [_SNAKEFILE, header + settings, *((WORKFLOW / name).read_text(encoding="utf-8") for name in PROFILES)]
    with atomic_files(*files_of(folder)) as written:
        for tmp, text in zip(written, texts, strict=True):
            tmp.write_text(text, encoding="utf-8")
