"""All that is done with encoded files of any kind, in little memory: what a child process runs.

`python -m encode.reading KIND=FILE ...` prints a line of JSON a file: the error's type and text (null without one), and
at the end the most memory that was in use, in bytes.
"""

import json
import resource
import sys
import tempfile
from decimal import Decimal
from pathlib import Path

import numpy as np
from data.hostile import most_memory

from resdavenet_vq import config
from resdavenet_vq.encode.codes import CodesFile, SplitCodes
from resdavenet_vq.encode.exports import export_units
from resdavenet_vq.encode.features import LayerFeatures
from resdavenet_vq.encode.maps import MapsFile
from resdavenet_vq.evaluation import matchmap, retrieval_files, words
from resdavenet_vq.evaluation.abx.columns import Item, ItemTable
from resdavenet_vq.evaluation.abx.frames import gather
from resdavenet_vq.zerospeech import submission

MEMORY = 1 << 30
"""Bytes that files of a few kilobytes may take beside the process itself."""

RETRIEVAL = config.Retrieval(split="test")
WORDS = config.Words(split="test", held_out_split="test")


def read_codes(path, out):
    """Every use of a codes file."""
    words.score(path, path, "quant3", WORDS, out / "words", frame_time="published", lineage="{2}")
    for form in ("jsonl", "textgrid", "npy"):
        export_units(path, [], form, out / form)
    with SplitCodes(path) as file:
        for utterance_id in file.ids:
            list(file.tiers(utterance_id, "published"))
    with CodesFile(path, "quant3") as file:
        file.codes(0, len(file))


def read_features(path, out):
    """Every use of a features file; `gather` is what ABX takes from it."""
    with LayerFeatures(path, "conv2") as file:
        list(file)
        np.array(file.mapped())
        tokens = (Item(name, Decimal(0), Decimal(0), "p", "a", "b", "s") for name in file.ids)
        gather(file, ItemTable.of(tokens), None)
    settings = config.Submission(author="A", affiliation="B")
    submission.pack(path, "conv2", settings, out / "out.zip", lineage="{2}")


def read_embeddings(path, out):
    """Every use of an embeddings file."""
    retrieval_files.score(path, RETRIEVAL, out / "retrieval.json", lineage="{2}")


def read_maps(path, out):
    """Every use of a maps file."""
    matchmap.score(path, "misa", RETRIEVAL, out / "matchmap.json", lineage="{2}")
    with MapsFile(path) as maps:
        maps.matchmap(maps.image_ids[0], maps.ids[0])


READERS = {"codes": read_codes, "features": read_features, "embeddings": read_embeddings, "maps": read_maps}


def read(kind, path):
    """The error of reading a file, its type and text; None without one."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            READERS[kind](path, Path(folder))
        except Exception as e:  # noqa: BLE001 - any is told
            error = [type(e).__name__, str(e)]
        else:
            error = None
        if any(b"CANARY" in file.read_bytes() for file in Path(folder).rglob("*") if file.is_file()):
            return ["Canary", str(path)]
    return error


def main():
    """Reads all files that the command line names."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    for argument in sys.argv[1:]:
        kind, _, path = argument.partition("=")
        print(json.dumps(read(kind, Path(path))), flush=True)
    print(most_memory())


if __name__ == "__main__":
    main()
