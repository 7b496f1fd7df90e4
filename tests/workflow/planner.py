"""What dry runs of a checkout would run and why: Snakemake's own interface in a process of its own, tenths of a second for each.

A process of its own, because the package that fingerprints code is that of the checkout, which a test may edit.
`pretend` marks everything that a configuration asks for as made, without making it: empty files, and Snakemake's records of
the parameters, the code and the inputs that they would have been made with.

    answers = ask(checkout, [{"do": "pretend", "folder": ..., "config": {...}, "targets": [...]}, {"do": "plan", ...}])
"""

import contextlib
import functools
import gc
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

LARGE = re.compile(r"\.(h5|safetensors|item)$|/corpus/[^/]*\.json$")
"""Files that may be too large for Snakemake to record checksums of them."""

SIZE = 1_200_000
"""Bytes of a large file."""

REASONS = ("params_changed", "code_changed", "input_changed", "missing_output", "updated_input")


def ask(checkout, questions):
    """The answer to each question, in order."""
    run = subprocess.run(
        [sys.executable, __file__, checkout],
        input=json.dumps(questions, default=str),
        env=os.environ | {"PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-5000:]
    return json.loads(run.stdout.rsplit("ANSWERS", 1)[1])


def _workflow(api, question, **settings):
    from snakemake.settings.types import ConfigSettings, DAGSettings, RerunTrigger, ResourceSettings

    workflow = api.workflow(
        resource_settings=ResourceSettings(
            cores=question.get("cores", 2), overwrite_threads=question.get("threads", {})
        ),
        config_settings=ConfigSettings(config=question["config"]),
        snakefile=Path(sys.argv[1], "Snakefile").resolve(),
        workdir=Path(question["folder"]),
    )
    triggers = frozenset({RerunTrigger.MTIME, RerunTrigger.PARAMS, RerunTrigger.INPUT, RerunTrigger.CODE})
    targets = set(question.get("targets", ["all"]))
    return workflow, workflow.dag(DAGSettings(targets=targets, rerun_triggers=triggers, **settings))


def _dag(api, question):
    workflow, dag = _workflow(api, question)
    with contextlib.redirect_stdout(io.StringIO()):
        dag.summary()
    return workflow._workflow.dag


def plan(api, question):
    """Every job of a plan, as of `jobs`, and of each output that Snakemake would make again its rule and the reasons of its
    own: Snakemake's names of them, and `resdavenet-vq plan`'s."""
    from resdavenet_vq.workflow.dry_run import reasons_of

    dag = _dag(api, question)
    config = dag.workflow.globals["settings"].model_dump(mode="json")
    stale = {}
    for job in dag.needrun_jobs():
        why = sorted(name for name in REASONS if getattr(dag.reason(job), name, False))
        entry = {"rule": job.rule.name, "why": why, "reasons": reasons_of(dag, job, config)}
        stale |= {str(output): entry for output in job.output}
    return {"jobs": _all_parts(dag), "stale": stale}


def jobs(api, question):
    """Every job: its rule, outputs, inputs, shell command, log and benchmark file; of a batch, every result as if it had a
    job of its own, with all that it depends on."""
    return _all_parts(_dag(api, question))


def _all_parts(dag):
    from resdavenet_vq.fingerprint import fingerprint

    fingerprint_of = functools.cache(fingerprint)  # the code may change until the next question
    return [part for job in dag.jobs for part in _parts(dag, job, fingerprint_of)]


def _parts(dag, job, fingerprint_of):
    about = {
        "job": job.rule.name,
        "template": str(job.rule.shellcmd or ""),
        "log": list(map(str, job.log)),
        "benchmark": str(job.benchmark or ""),
        "params": {name: str(value) for name, value in job.params.items()},
    }
    batch = next((batch for batch in dag.workflow.globals["batches"].all if batch.name == job.rule.name), None)
    if batch is None:
        files = {"output": list(map(str, job.output)), "input": list(map(str, job.input))}
        return [{**about, **files, "rule": job.rule.name, "shellcmd": str(job.shellcmd or "")}]
    parts = []
    for task in batch.tasks(job.wildcards):
        code = " ".join(fingerprint_of(module) for module in task.code)
        for result in task.results:
            kind = f"encode_{result.item.kind}" if task.command == "encode-split" else task.command.replace("-", "_")
            files = {"output": list(result.files), "input": [*task.inputs, *task.data]}
            parts.append({**about, **files, "rule": kind, "shellcmd": f"python -m resdavenet_vq {task.command}"})
            parts[-1] |= {"params": {"code": code}, "depends": [*task.words([result]), task.contents, code]}
    return parts


PLACEHOLDER = re.compile(r"\{(\w+)(?:\.(\w+))?(:q)?\}")


def commands(api, question):
    """The commands of all rules, and of every job that has one: its rule, its command before and after Snakemake put
    values into it, and the words of each placeholder."""
    dag = _dag(api, question)
    templates = sorted({rule.shellcmd for rule in dag.workflow.rules if rule.shellcmd})
    answer = []
    for job in dag.jobs:
        if job.shellcmd:
            words = {}
            for found in PLACEHOLDER.finditer(job.rule.shellcmd):
                kind, name, _ = found.groups()
                value = getattr(job, kind) if name is None else getattr(getattr(job, kind), name)
                several = not isinstance(value, str) and hasattr(value, "__iter__")
                words[found[0]] = list(map(str, value)) if several else [str(value)]
            jobs = {"rule": job.rule.name, "log": list(map(str, job.log)), "words": words}
            answer.append(jobs | {"template": job.rule.shellcmd, "shellcmd": job.shellcmd})
    return {"templates": templates, "jobs": answer}


def place(api, question):
    """Puts an empty file, or folder, where each output belongs."""
    folder = Path(question["folder"])
    for job in _dag(api, question).jobs:
        for output in job.output:
            path = folder / output
            if path.exists():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if output.flags.get("directory"):
                path.mkdir()
            else:
                path.touch()
                if LARGE.search(str(path)):
                    os.truncate(path, SIZE)


def record(api, question):
    """Has Snakemake record what the files in their places would have been made with."""
    from snakemake.executors.touch import Executor

    Executor.SLEEPING_TIME = 0
    _workflow(api, question, forceall=True)[1].execute_workflow("local", pseudo_executor="touch")


def edit(_api, question):
    """Replaces files of the checkout: {path: text}."""
    for path, text in question["files"].items():
        Path(sys.argv[1], path).write_text(text)


def parse_each_file_once():
    """Most of the time of a small plan is spent on parsing the same rule files again."""
    from snakemake import workflow

    parse, texts = workflow.parse, {}

    def remember(path, parsed_for, linemap, *, rulecount=0, **options):
        text = Path(str(path.get_path_or_uri(secret_free=False))).read_text()
        if (text, rulecount) not in texts:
            texts[text, rulecount] = *parse(path, parsed_for, linemap, rulecount=rulecount, **options), dict(linemap)
        *answer, lines = texts[text, rulecount]
        linemap.update(lines)
        return answer

    workflow.parse = remember


def main():
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import OutputSettings, Quietness

    def answer(do, question):
        with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
            return do(api, question)

    parse_each_file_once()
    answers = []
    gc.disable()  # which halves the time of a plan
    for number, question in enumerate(json.load(sys.stdin)):
        if number % 20 == 0:
            gc.collect()
        if question["do"] == "pretend":
            answer(place, question)
            answer(record, question)
            answers.append(None)
        else:
            answers.append(answer(globals()[question["do"]], question))
    print("ANSWERS" + json.dumps(answers))


if __name__ == "__main__":
    main()
