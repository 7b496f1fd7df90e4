"""How processor time and memory grow with a corpus: the same command over 1, 4 and 16 times the data.

    PYTHONPATH=. python benchmarks/growth.py [--utterances 250] [--stages read prepare]

Stages are `read` (the list of a corpus) and `prepare` (that, and its store, with all processes; the memory is that of the process
that writes). Each runs in a process of its own. Audio has 3 s and images 256 pixels; they are 50 files, to which the rows have
links, so that the corpus takes no room.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from measuring import write
from PIL import Image, ImageFilter

FILES = 50
PR_SET_CHILD_SUBREAPER = 36

READ = """
import sys
from pathlib import Path
from resdavenet_vq.corpus import places
assert len(places.read(Path(sys.argv[1])).utterances) == int(sys.argv[2])
"""
PREPARE = """
import sys
from pathlib import Path
from resdavenet_vq.config import Preparation
from resdavenet_vq.corpus import places
from resdavenet_vq.data.preparation import prepare
if __name__ == "__main__":
    rows = Path(sys.argv[1])
    prepare(places.read(rows), Preparation(), rows.with_suffix(".h5"), rows.with_suffix(".report.json"), 1)
"""
STAGES = {"read": READ, "prepare": PREPARE}

PEAK = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"


def make_corpus(folder: Path, n: int) -> Path:
    """A list of `n` rows in the layout of Places Audio, with 10 words each, two captions an image."""
    rng = np.random.default_rng(0)
    media = folder / "media"
    if not media.exists():
        media.mkdir()
        for i in range(FILES):
            soundfile.write(media / f"{i}.wav", 0.1 * rng.normal(size=48_000), 16_000)
            pixels = rng.integers(0, 256, (256, 256, 3), np.uint8)
            Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(2)).save(media / f"{i}.jpg", quality=90)
    links = folder / str(n)
    links.mkdir()
    words = " ".join(f"{k / 4}__WORD{k}__{k / 4 + 0.25}" for k in range(10))
    with (folder / f"{n}.jsonl").open("w") as rows:
        for i in range(n):
            (links / f"{i}.wav").symlink_to(media / f"{i % FILES}.wav")
            if i % 2 == 0:
                (links / f"{i}.jpg").symlink_to(media / f"{i % FILES}.jpg")
            row = {
                "wav": f"{n}/{i}.wav",
                "image": f"{n}/{i - i % 2}.jpg",
                "text_alignment": words,
                "speaker": str(i % 40),
            }
            rows.write(json.dumps(row) + "\n")
    return folder / f"{n}.jsonl"


def measured(program: str, rows: Path, n: int) -> tuple[float, int]:
    """Processor seconds of a program and of all its processes, and the largest memory in KiB of its own process."""
    script = rows.with_suffix(".py")
    script.write_text(f"{program}\nif __name__ == '__main__':\n    {PEAK}\n")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    command = [sys.executable, str(script), str(rows), str(n)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    while True:  # the server of workers may end after the program; this process is its heir
        try:
            os.wait()
        except ChildProcessError:
            break
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, int(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--utterances", type=int, default=250)
    parser.add_argument("--stages", nargs="*", default=list(STAGES), choices=STAGES)
    options = parser.parse_args()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for n in (options.utterances, 4 * options.utterances, 16 * options.utterances):
            rows = make_corpus(Path(folder), n)
            for stage in options.stages:
                seconds, peak = measured(STAGES[stage], rows, n)
                results.append(
                    {"stage": stage, "utterances": n, "cpu_s": round(seconds, 2), "peak_mb": round(peak / 1024, 1)}
                )
                print(results[-1], flush=True)
    write("growth", {"results": results})


if __name__ == "__main__":
    main()
