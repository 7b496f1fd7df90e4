"""The start of commands: processor seconds before their work begins.

    python benchmarks/startup.py [--repeats 5] [--only encode-split ...]

Measured are Python alone, `--help`, the imports of every command (those of its function, in a process that has the command line;
commands with the same imports count once) and dry runs of config.yaml and configs/places.yaml, whose lists of utterances are empty
files. Each is a process of its own, children included; repeats are interleaved, and the first round, which compiles and
fills caches, does not count.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from measuring import REPO, measure, run, write

from resdavenet_vq import __main__  # noqa: F401 - adds the commands
from resdavenet_vq.commands import app

sys.path.append(str(REPO / "tests"))

from started import imports_of

LISTS = ("train_original_with_alignments.json", "val_original_with_alignments.json")


def starts(folder: Path) -> dict[str, list[str]]:
    """The processes to measure, by name."""
    python = [sys.executable]
    snakemake = [*python, "-m", "snakemake", "-n", "--quiet", "--snakefile", str(REPO / "Snakefile"), "--directory"]
    lists = folder / "data/PlacesAudio400k/metadata"
    lists.mkdir(parents=True)
    for name in LISTS:
        (lists / name).write_text("{}")
    places = folder / "places.yaml"
    places.write_text((REPO / "configs/places.yaml").read_text().replace("/data/", f"{folder}/data/"))
    processes = {
        "Python": [*python, "-c", "pass"],
        "--help": [*python, "-m", "resdavenet_vq", "--help"],
        "dry run of config.yaml": [*snakemake, str(folder / "demo")],
        "dry run of configs/places.yaml": [*snakemake, str(folder / "places"), "--configfile", str(places)],
        "Snakemake alone": [*python, "-c", "import snakemake.cli"],
    }
    imports: dict[str, list[str]] = {}
    for command in app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__.replace("_", "-")
        imports.setdefault(imports_of(command.callback), []).append(name)
    for statements, names in imports.items():
        processes[", ".join(names)] = [*python, "-c", f"import resdavenet_vq.__main__\n{statements}"]
    return processes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", action="append", default=[], help="part of a name; may be given several times")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        processes = {
            name: command
            for name, command in starts(Path(folder)).items()
            if not arguments.only or any(part in name for part in arguments.only)
        }
        sides = {name: lambda command=command: run(command, threads=None) for name, command in processes.items()}
        seconds = measure(sides, arguments.repeats, warm_up=1)
    rows = [
        {"what": name, **{unit: {"package": by_name[name]} for unit, by_name in seconds.items()}} for name in processes
    ]
    for each in rows:
        cpu, wall = (each[unit]["package"] for unit in seconds)
        print(f"{cpu:6.2f} CPU s {wall:6.2f} s", each["what"])
    if not arguments.only:
        write("startup", {"repeats": arguments.repeats, "rows": rows})


if __name__ == "__main__":
    main()
