"""All benchmarks that need no GPU, one after another, and the table of their results in README.md.

    python benchmarks/all.py            # about a quarter of an hour on two quiet cores
    python benchmarks/all.py --small    # tries each with next to no data; records nothing

A benchmark that fails does not keep the others from running, and its old result stays.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from aims import README, table

HERE = Path(__file__).parent
BENCHMARKS = {
    "jobs.py": ("", "--pairs 24 --few 12 --repeats 1"),
    "startup.py": ("--repeats 3", "--only=--help --only=places --repeats 1"),
    "preparation.py": ("", "--pairs 20 --rounds 1"),
    "encoding.py": ("--utterances 250", "--utterances 5 --repeats 1"),
    "word_detection.py": ("", "--utterances 30 --repeats 1"),
    "retrieval.py": ("", "--pairs 30 --many 50 --dim 8 --repeats 1"),
    "abx.py": ("", "--utterances 80 --many 90 --repeats 1"),
    "quantizer.py": ("", "--frames 32768 --codes 64 --width 16 --rounds 1"),
    "losses.py": ("", "--batch 4 --frames 16 --dim 8 --rounds 1"),
    "training.py": ("--arms float32", "--frames 64 --batch 4 --steps 1 --warm-up 1 --rounds 1 --arms float32"),
    "large_images.py": ("", "--pictures 1 --rounds 1"),
    "checksums.py": ("--rounds 9", "--pairs 8 --rounds 2 --many 1000"),
}
"""By script, the arguments with which it is recorded, and with which it is tried."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Threads that wait in a loop for work would count as processor time."""


def run(script: str, trial: Path | None) -> int:
    """The exit status of a benchmark: as it is recorded, or as it is tried, with its result in a folder."""
    recorded, small = BENCHMARKS[script]
    command = [sys.executable, str(HERE / script), *(small if trial else recorded).split()]
    environment = os.environ | ONE_THREAD | {"PYTHONPATH": str(HERE.parent)}
    if trial:
        environment["BENCHMARK_RESULTS"] = str(trial)
    return subprocess.run(command, env=environment, check=False).returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    failed = []
    with tempfile.TemporaryDirectory() as name:
        trial = Path(name) if options.small else None
        for script in BENCHMARKS:
            print(f"== {script}", flush=True)
            start = time.perf_counter()
            if run(script, trial):
                failed.append(script)
            print(f"== {script}: {time.perf_counter() - start:.0f} s", flush=True)
        if trial:
            print(table(trial))
    if not options.small:
        subprocess.run([sys.executable, str(HERE / "aims.py")], check=True)
        print(f"the table is in {README}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
