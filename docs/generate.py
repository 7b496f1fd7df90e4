"""Writes what follows from the code: configuration.md, config.schema.json, commands.md, staleness.md, the tables of at_scale.md.

    python docs/generate.py

A test fails when they differ from what this would write.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
import yaml

from resdavenet_vq import __main__  # noqa: F401 - adds the commands
from resdavenet_vq.commands import PANELS, app
from resdavenet_vq.config import Compute, Config
from resdavenet_vq.workflow.configuration import read_files
from resdavenet_vq.workflow.estimate import estimate as numbers
from resdavenet_vq.workflow.estimate.lines import duration, size
from resdavenet_vq.workflow.estimate.speed import Machine, exchanged

DOCS = Path(__file__).resolve().parent
TABLES = DOCS.parent / "tests/workflow/staleness.yaml"
TABLE = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
NAMED: dict[str, Any] = Config.model_json_schema()["$defs"]
"""Sections of the configuration, and types that have a name."""


def pages() -> dict[str, str]:
    """The text of each generated page, by its name."""
    schema = Config.model_json_schema()
    return {
        "configuration.md": _reference(schema),
        "config.schema.json": json.dumps(schema, indent=1, ensure_ascii=False) + "\n",
        "commands.md": _commands(),
        "staleness.md": _staleness(yaml.safe_load(TABLES.read_text(encoding="utf-8"))),
        "at_scale.md": _at_scale((DOCS / "at_scale.md").read_text(encoding="utf-8")),
    }


def _reference(schema: dict[str, Any]) -> str:
    """Every key with its dotted name, in the order of config.yaml."""
    lines = [
        "# Configuration reference",
        "",
        "Generated from `resdavenet_vq/config/` by `python docs/generate.py`, in the order of `config.yaml`. Unknown or missing keys and",
        "wrong types stop even a dry run. Editors that know YAML schemas complete and check keys with `docs/config.schema.json`.",
        "",
        "A configuration without a `corpus` is laid over `config.yaml`, the demo. One with a `corpus`, but not all of `lineages`, `model` and",
        "`training`, is laid over `configs/small_corpus.yaml`, so that a corpus alone is enough. One with all of them stands alone, and then",
        "what it does not have is as the column *default* says. More on this is in [workflow](workflow.md#which-configuration-which-folder).",
        "",
    ]
    for key, field in schema["properties"].items():
        sections = _sections(field)
        if not sections:
            lines += [f"## {key}", "", *TABLE, _row(key, field, required=key in schema["required"]), ""]
        for section in sections:
            layout = f" ({section['properties']['layout']['const']})" if len(sections) > 1 else ""
            lines += [f"## {key}{layout}", "", " ".join(section["description"].split()), ""]
            lines += [*TABLE, *_rows(key, section), ""]
    return "\n".join(lines)


def _rows(path: str, section: dict[str, Any]) -> Iterator[str]:
    for name, field in section["properties"].items():
        key = f"{path}.{name}"
        if below := _sections(field):
            yield from _rows(key, below[0])
        elif entries := _sections(next(iter(field.get("patternProperties", {}).values()), {})):
            yield _row(key, field, required=False)
            yield from _rows(f"{key}.LINEAGE", entries[0])
        else:
            yield _row(key, field, name in section.get("required", ()))


def _row(key: str, field: dict[str, Any], required: bool) -> str:
    default = (
        "required" if required else f"`{json.dumps(field['default'])}`" if field.get("default") is not None else ""
    )
    return f"| `{key}` | {_type(field)} | {default} | {_cell(field.get('description'))} |"


def _sections(field: dict[str, Any]) -> list[dict[str, Any]]:
    """The sections that a field consists of: one, several layouts, or none."""
    options = field.get("oneOf", field.get("anyOf", [field]))
    definitions = [NAMED[option["$ref"].rsplit("/", 1)[1]] for option in options if "$ref" in option]
    return [definition for definition in definitions if "properties" in definition]


def _type(field: dict[str, Any]) -> str:
    match field:
        case {"$ref": ref}:
            return _type(NAMED[ref.rsplit("/", 1)[1]])
        case {"anyOf": options} | {"oneOf": options}:
            return " or ".join(_type(option) for option in options)
        case {"enum": values}:
            return " or ".join(f"`{v}`" for v in values)
        case {"const": value}:
            return f"`{value}`"
        case {"type": "array", "prefixItems": items}:
            return f"list of {len(items)} {_type(items[0])}s"
        case {"type": "array", "items": item}:
            return f"list of {_type(item)}"
        case {"type": "object", "patternProperties": {**values}}:
            (value,) = values.values()
            return "mapping" if "$ref" in value else f"mapping to {_type(value)}"
        case {"type": "object", "additionalProperties": {"type": _} as value}:
            return f"mapping to {_type(value)}"
        case {"type": kind}:
            return {
                "integer": "integer",
                "number": "number",
                "string": "text",
                "boolean": "true or false",
                "null": "null",
            }.get(kind, kind)
        case _:
            return "any"


def _commands() -> str:
    """Every command with its arguments and options."""
    lines = [
        "# Commands",
        "",
        "Generated from `resdavenet_vq/commands/` by `python docs/generate.py`. `resdavenet-vq COMMAND --help` says the same; so does",
        "`python -m resdavenet_vq`. `resdavenet-vq --install-completion` has the shell complete commands, options and their values. A failed",
        "command prints one message and exits with status 1.",
        "",
        "Commands for people say what they wrote and keep results that are there, unless told `--overwrite`. Where one takes `--settings` or",
        "`--recipe`, it is a configuration, of which the command reads the section that it needs: your `mine.yaml`, which may have that section",
        "alone. Rules give such a section as JSON, and their commands replace results; `snakemake -p` prints the calls, and each can be pasted",
        "and run by hand.",
    ]
    commands = sorted(typer.main.get_command(app).commands.items())
    for panel in PANELS:
        lines += ["", f"## {panel}", "", "| command | what it does |", "| --- | --- |"]
        lines += [f"| [`{name}`](#{name}) | {_cell(c.help)} |" for name, c in commands if c.rich_help_panel == panel]
    for name, command in commands:
        lines += ["", f"## {name}", "", _cell(command.help), "", "| | | |", "| --- | --- | --- |"]
        for parameter in command.params:
            if parameter.name == "help":
                continue
            option = parameter.param_type_name == "option"
            written = ", ".join(f"`{o}`" for o in parameter.opts) if option else f"`{str(parameter.name).upper()}`"
            given = parameter.default is not None and not callable(parameter.default) and parameter.default != ""
            default = "required" if parameter.required else f"`{parameter.default}`" if given else ""
            lines.append(f"| {written} | {_cell(getattr(parameter, 'help', ''))} | {default} |")
    return "\n".join(lines) + "\n"


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def _staleness(tables: dict[str, Any]) -> str:
    """What a change of each key re-runs, from the tables that the tests compare with dry runs."""
    lines = [*STALENESS.splitlines(), ""]
    for world in tables["worlds"].values():
        lines += [f"### {world['title']}", "", "| changed | re-runs first | remark |", "| --- | --- | --- |"]
        for keys, given in world["keys"].items():
            entry = given if isinstance(given, dict) else {"first": given}
            names = ", ".join(f"`{key}`" for key in keys.split())
            lines.append(f"| {names} | {_rules(entry)} | {_cell(entry.get('why'))} |")
        lines.append("")
    lines += ["## What follows what", "", "| after | runs |", "| --- | --- |"]
    lines += [f"| `{rule}` | {', '.join(f'`{r}`' for r in text.split())} |" for rule, text in tables["follows"].items()]
    lines += [
        "",
        "## Where the code that a rule watches is not exactly what its command loads",
        "",
        "| rules | module | |",
        "| --- | --- | --- |",
    ]
    for rules, modules in tables["modules"]["called"].items():
        lines.append(f"| {_names(rules)} | {_names(modules)} | watched, though loaded only when a function needs it |")
    for module, entry in tables["modules"]["left_out"].items():
        lines.append(f"| {_names(entry['rules'])} | `{module}` | not watched: {entry['why']} |")
    return "\n".join(lines) + "\n"


def _names(text: str) -> str:
    return ", ".join(f"`{name}`" for name in text.split())


def _rules(entry: dict[str, Any]) -> str:
    first = entry.get("first", "+")
    if entry.get("never") and first == "+":
        return "everything"
    if first == "+":
        return "everything, in a new folder; the old results stay"
    again = [
        f"`{rule}`{' of ' + ' or '.join(p.strip('/.') for p in parts.split('|')) if parts else ''}"
        for rule, parts in re.findall(r"(?<!\S)(\w+)(?:\((\S*)\))?(?!\S)", first)
    ]
    added = [f"`{rule}`" for rule in re.findall(r"(?<!\S)\+(\w+)", first)]
    return "; ".join(filter(None, [", ".join(again), f"new: {', '.join(added)}" if added else ""])) or "nothing"


PLACES = {"train": 402_385, "val": 1000}
"""Rows of Places Audio 400k."""

FAST = Compute(precision="bfloat16", compile=True)
MACHINES = {
    "one GPU": (Machine("h200"), 1),
    "four GPUs, four trainings at once": (Machine("h200", 4), 1),
    "eight GPUs, eight trainings at once": (Machine("h200", 8), 1),
    "eight GPUs for each training": (Machine("h200", 8), 8),
    "two nodes of eight GPUs, all lineages at once": (Machine("h200", 8, 2), 1),
    "two nodes of eight, sixteen GPUs for each training": (Machine("h200", 8, 2), 16),
    "two nodes of one GPU, both for each training": (Machine("h200", 1, 2), 2),
}
"""Machines, and the GPUs of one training there."""


def _estimate(
    machine: Machine, gpus: int, compute: Compute, picture: tuple[int, int] | None = None
) -> numbers.Estimate:
    places = read_files([DOCS.parent / "configs/places.yaml"])
    training = places.training.model_copy(update={"gpus": gpus, "compute": compute})
    sizes = numbers.mean_sizes(places, None, picture)
    return numbers.Estimate(places.model_copy(update={"training": training}), machine, PLACES, *sizes)


def _at_scale(page: str) -> str:
    """The page with its tables made anew: each is between `<!-- NAME -->` and `<!-- end -->`."""
    tables = {
        "trainings": [*_trainings(Compute()), "", *_trainings(FAST)],
        "loader": _loader_table(),
        "preparation": _preparation_table(),
    }
    for name, lines in tables.items():
        mark, text = f"<!-- {name} -->\n", "\n".join(lines)
        before, after = page.split(mark)
        page = f"{before}{mark}\n{text}\n\n<!-- end -->{after.split('<!-- end -->', 1)[1]}"
    return page


def _trainings(compute: Compute) -> Iterator[str]:
    what = f"`{compute.precision}`{', compiled' if compute.compile else ''}"
    yield f"| {what} | pairs/s of a training | an epoch | longest training | GPU hours | first to last | exchanged in a step | checkpoints on disk | lost by a kill, at most |"
    yield "| --- |" + " ---: |" * 8
    for name, (machine, gpus) in MACHINES.items():
        e = _estimate(machine, gpus, compute)
        slowest = max(e.lineages, key=e.training_seconds)
        hours, over = e.training_hours()
        step, sent = e.step(slowest), exchanged(e.work(slowest), e.config.training, e.processes)
        lost = e.lost_seconds(slowest) * e.processes / 3600
        between = f"{sent.number}, {size(sent.n_bytes)}, {1e3 * step.exchanging:.1f} ms" if gpus > 1 else "0"
        yield (
            f"| {name} | {e.config.training.batch_size / step.seconds:,.0f} | {duration(e.epoch_seconds(slowest))} | "
            f"{duration(e.training_seconds(slowest))} | {hours:,.0f} | {duration(3600 * over)} | {between} | "
            f"{size(e.checkpoint_bytes(slowest) * min(e.trainings_at_once, len(e.lineages)))} | {lost:.2f} GPU h |"
        )


PICTURES = ((256, 256), (500, 375), (640, 480), (1024, 768))


def _loader_table() -> Iterator[str]:
    e = _estimate(Machine("h200"), 1, FAST)
    step = e.step(max(e.lineages, key=e.training_seconds))
    speeds = [round(e.config.training.batch_size / max(step.computing, step.launching)), 2100, 3000]
    heads = [f"cores at {speed:,} pairs/s" + (" (the estimate)" if i == 0 else "") for i, speed in enumerate(speeds)]
    yield f"| pictures | stored as | ms a pair | {' | '.join(heads)} |"
    yield "| --- | --- |" + " ---: |" * 4
    for picture in PICTURES:
        e = _estimate(Machine("h200"), 1, FAST, picture)
        for image_size in (None, 256) if picture != PICTURES[0] else (None,):
            seconds, stored = e.load_seconds(image_size), e.picture.reduced(image_size)
            cores = " | ".join(str(math.ceil(speed * seconds)) for speed in speeds)
            setting = "as they are" if image_size is None else f"`image_size: 256`, {stored.width} x {stored.height}"
            yield f"| {picture[0]} x {picture[1]} | {setting} | {1e3 * seconds:.2f} | {cores} |"


def _preparation_table() -> Iterator[str]:
    yield "| pictures | stored as | core hours | on 16 cores | store | disk while it is made |"
    yield "| --- | --- |" + " ---: |" * 4
    for picture in PICTURES:
        for image_size in (None, 256) if picture != PICTURES[0] else (None,):
            e = _estimate(Machine("h200"), 1, FAST, picture)
            preparation = e.config.preparation.model_copy(update={"image_size": image_size})
            e = numbers.Estimate(
                e.config.model_copy(update={"preparation": preparation}), e.machine, e.rows, e.seconds, e.picture
            )
            hours, store = sum(map(e.preparation_hours, e.rows)), sum(map(e.store_bytes, e.rows))
            setting = "as they are" if image_size is None else "`image_size: 256`"
            largest = max(map(e.store_bytes, e.rows))
            yield (
                f"| {picture[0]} x {picture[1]} | {setting} | {hours:.2f} | {duration(3600 * hours / 16)} | "
                f"{size(store)} | {size(store + largest)} |"
            )


STALENESS = """\
# What a change re-runs

Generated by `python docs/generate.py` from `tests/workflow/staleness.yaml`, a table written by hand that
`tests/workflow/test_staleness.py` compares with Snakemake's dry runs: key by key, output by output, and module by module.

`resdavenet-vq plan` says what a run would do, and for each rule the keys, modules or files that changed; `snakemake -n` says the same with all commands, and
`snakemake --summary` lists every file with its state. A job runs again when

- a value that its command is given changes: each rule gets the keys that its result depends on, and no others;
- the code that its command runs changes: the syntax trees of its module and of all that this imports from the package. Comments,
  docstrings, layout and touched files do not count, nor do `commands/`, `config/` and the modules that plan, report progress or contain
  messages (`RESULT_FREE` in `fingerprint.py`);
- the command line of its rule changes, or the list of its input files;
- a file that it reads was made again, or is newer than its results and, up to 1 MB, differs from what it was.

A job that encodes or scores makes several results, and Snakemake deletes them all before it runs the job again. Each is made by a command of its own, which the
job's log shows; those whose inputs, settings and code are as before stay as they are (`unchanged` in the log). So a changed evaluation encodes nothing again, a changed layer of
ABX leaves the other layers, and what reads a file that came out the same bytes does no work. This page names what is really made again, by command
(`encode_codes` is `encode-split --codes`); Snakemake plans the whole jobs.

To keep them, a finished result has a second name below `results/{corpus}/state/kept`: a hard link, which takes no space. A deleted result that is planned again comes back
from its link; other links without a result go at the end of the next run. Leave the folder out of copies that do not keep hard links (`rsync` without `-H`).
`--forcerun`, `--force` and `--forceall` remove all of them first, so that everything is made again that is planned; so does a file of up to 16 MB that was changed by
hand for itself. On a file system without hard links whole jobs are done again.

What is made by a job of its own (stores, models, tables, the report) is made again when what it reads is, even if that is the same in the end.

## What is no change

Tested: a second run; other `--cores`, threads, GPUs, or another profile; the same results with another copy of the code, wherever it
is; results copied with their times (`cp -a`, `rsync -a`), with or without `.snakemake`; and touching any result, also one over 1 MB.
Snakemake records checksums of small files only, so rules that read a large result depend on the digest beside it
(`data/test.h5.sha256`; of weights, the SHA-256 in `model.json`), and on the large file itself only to be there.
A large file of your own corpus has no digest: where it looks newer than what was made from it, that runs again. After a copy without
times, and only then, `snakemake --touch --cores 1` tells Snakemake that all is up to date.

## Without Snakemake's records

Where `.snakemake` was deleted or left behind, Snakemake knows of no parameters and would accept any result that exists. Models, stores and
scores contain the settings that they were made with. If they differ from the configuration, a run stops before its first job and lists the files,
the keys and both values. Delete those files, or run the rules that it names with `--forcerun`.

## By key

A key of an evaluation that is not listed re-runs the rule `score_SECTION` and nothing else.
*Re-runs first* is what is made again because of the change itself, and which of its outputs, if not all; what follows is in the table further
down. *New* is what was not requested before. Snakemake also plans a job that no longer makes one of its results; it finds all others as they were.

Some keys re-run more than they must. `preparation.bad_rows` prepares again even where no row is refused, and paths of a corpus
(`audio_base_path` and the like) even where the same files are now elsewhere: Snakemake cannot know.
"""


if __name__ == "__main__":
    for page, text in pages().items():
        (DOCS / page).write_text(text, encoding="utf-8")
