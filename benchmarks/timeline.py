"""When the jobs of a run took place: a picture in text, and how long each core had nothing to do.

    python benchmarks/timeline.py .snakemake/log/2026-11-30T153012.123456.snakemake.log [--cores 2]

reads the log of a run of Snakemake on one machine. Times are whole seconds, as the log has them.
"""

import argparse
import re
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

START = re.compile(
    r"^\[(?P<time>[^\]]+)\]\n(?:local)?rule (?P<rule>\w+):\n(?P<body>(?:    .*\n)*?    jobid: (?P<id>\d+)\n(?:    .*\n)*)",
    re.MULTILINE,
)
END = re.compile(r"^\[(?P<time>[^\]]+)\]\n(?:Finished jobid: (?P<id>\d+)|Finished job (?P<old>\d+))", re.MULTILINE)
WIDTH = 60


class Job(NamedTuple):
    """A job, in seconds after the first one began."""

    rule: str
    wildcards: str
    start: float
    end: float
    cores: int


def jobs(log: str) -> list[Job]:
    """The jobs of a log that have ended, by their beginning."""
    ends = {match["id"] or match["old"]: _seconds(match["time"]) for match in END.finditer(log)}
    found = []
    for match in START.finditer(log):
        if match["id"] in ends:
            wildcards = re.search(r"^    wildcards: (.*)$", match["body"], re.MULTILINE)
            threads = re.search(r"^    threads: (\d+)$", match["body"], re.MULTILINE)
            names = " ".join(part.split("=")[1] for part in wildcards[1].split(", ")) if wildcards else ""
            cores = int(threads[1]) if threads else 1
            found.append(Job(match["rule"], names, _seconds(match["time"]), ends[match["id"]], cores))
    first = min(job.start for job in found)
    return sorted(job._replace(start=job.start - first, end=job.end - first) for job in found)


def _seconds(text: str) -> float:
    return datetime.strptime(text, "%a %b %d %H:%M:%S %Y").timestamp()  # noqa: DTZ007 - differences count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path)
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    some = sorted(jobs(options.log.read_text(encoding="utf-8")), key=lambda job: (job.start, job.end))
    total = max(job.end for job in some)
    for job in some:
        begin, end = (round(WIDTH * at / total) for at in (job.start, job.end))
        bar = " " * begin + "#" * max(1, end - begin)
        print(f"{bar:{WIDTH + 1}} {job.end - job.start:4.0f} s  {job.rule} {job.wildcards}")
    busy = sum(min(job.cores, options.cores) * (job.end - job.start) for job in some)
    print(
        f"{len(some)} jobs in {total:.0f} s; of {options.cores * total:.0f} core seconds {options.cores * total - busy:.0f} had no job"
    )


if __name__ == "__main__":
    main()
