"""What dry runs of a checkout would run and why: Snakemake's own interface in a process of its own, tenths of a second for each.

A process of its own, because the package that fingerprints code is that of the checkout, which a test may edit. It is a
fork of one that has imported Snakemake, and nothing of the package.
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
import tempfile
import traceback
from pathlib import Path

LARGE = re.compile(r"\.(h5|safetensors|item)$|/corpus/[^/]*\.json$")
"""Files that may be too large for Snakemake to record checksums of them."""

SIZE = 1_200_000
"""Bytes of a large file."""

REASONS = ("params_changed", "code_changed", "input_changed", "missing_output", "updated_input")


def ask(checkout, questions):
    """The answer to each question, in order."""
    server = started()
    print(json.dumps([str(checkout), questions], default=str), file=server.stdin, flush=True)
    status, said = json.loads(server.stdout.readline())
    assert status == 0, said[-5000:]
    return json.loads(server.stdout.readline())


@functools.cache
def started():
    """The process that has imported Snakemake, until this one ends."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, __file__], env=environment, **pipes)


def _workflow(api, question, **settings):
    from snakemake.settings.types import ConfigSettings, DAGSettings, RerunTrigger, ResourceSettings

    workflow = api.workflow(
        resource_settings=ResourceSettings(
            cores=question.get("cores", 2), overwrite_threads=question.get("threads", {})
        ),
        config_settings=ConfigSettings(config=question["config"]),
        snakefile=Path(question["checkout"], "Snakefile").resolve(),
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


def edit(_, question):
    """Replaces files of the checkout: {path: text}."""
    from resdavenet_vq import fingerprint

    for path, text in question["files"].items():
        Path(question["checkout"], path).write_text(text)
    fingerprint._Sources.cache_clear()


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


def answers_to(questions):
    """In a fork: the answer to each question."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import OutputSettings, Quietness

    from resdavenet_vq import fingerprint

    fingerprint._Sources = functools.cache(fingerprint._Sources)  # files are looked at once, until one is edited

    def answer(do, question):
        with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
            return do(api, question)

    answers = []
    gc.disable()  # which halves the time of a plan
    for number, question in enumerate(questions):
        if number % 20 == 0:
            gc.collect()
        if question["do"] == "pretend":
            answer(place, question)
            answer(record, question)
            answers.append(None)
        else:
            answers.append(answer(globals()[question["do"]], question))
    return answers


def in_a_fork(checkout, questions):
    """The exit status and what was printed, and if all went well the answers, each as a line of JSON."""
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as result:
        if (pid := os.fork()) == 0:
            status = 1
            try:
                for descriptor in (1, 2):
                    os.dup2(said.fileno(), descriptor)
                sys.path.insert(0, checkout)
                os.environ["PYTHONPATH"] = checkout
                os.chdir(checkout)
                answers = answers_to([question | {"checkout": checkout} for question in questions])
                print(json.dumps(answers), file=result, flush=True)
                status = 0
            except BaseException:  # noqa: BLE001 - told to the test
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        said.seek(0)
        result.seek(0)
        return f"{json.dumps([status, said.read()])}\n{result.read()}"


def main():
    import pydantic  # noqa: F401 - what the package imports, and all that Snakemake imports late
    import snakemake.api
    import snakemake.executors.touch  # noqa: F401
    import yaml  # noqa: F401

    parse_each_file_once()
    gc.freeze()
    for line in sys.stdin:
        print(in_a_fork(*json.loads(line)), end="", flush=True)


if __name__ == "__main__":
    main()
