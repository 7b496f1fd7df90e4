"""Snakemake's command line, run in a folder that is not the checkout."""

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml
from training_child import write_store

from resdavenet_vq.files import write_digest

REPO = Path(__file__).resolve().parents[2]
TINY = (REPO / "config.yaml", REPO / "tests/workflow/tiny.yaml")
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}

DRY_RUNS = """
import contextlib, io, json, os, sys
from snakemake.cli import main
here, answers = os.getcwd(), []
for arguments in json.load(sys.stdin):
    os.chdir(here)
    output, code = io.StringIO(), None
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            main(["-n", *arguments])
        except SystemExit as e:
            code = e.code
    answers.append([code, output.getvalue()])
print(json.dumps(answers))
"""


def command(folder, *arguments, configfiles=(), cores=2, checkout=REPO):
    """The command line of a run."""
    place = ["--snakefile", checkout / "Snakefile", "--directory", folder, "--cores", cores]
    files = ["--configfile", *configfiles] if configfiles else []
    return [sys.executable, "-m", "snakemake", *map(str, [*place, *arguments, *files])]


def snakemake(folder, *arguments, succeeds=True, environment=ENVIRONMENT, **settings):
    """What a run prints, which must succeed, or fail."""
    words = command(folder, *arguments, **settings)
    run = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    output = run.stdout + run.stderr  # a dry run prints to standard output
    assert (run.returncode == 0) == succeeds, output[-8000:]
    return output


def dry_runs(folder, lines, **variables):
    """(exit status, output) of a dry run of each line of arguments, by Snakemake's command line in one process.

    That process has more `variables` in its environment.
    """
    words = [sys.executable, "-c", DRY_RUNS]
    environment = ENVIRONMENT | {"PYTHONPATH": str(REPO)} | variables
    text = json.dumps([list(map(str, line)) for line in lines])
    run = subprocess.run(words, input=text, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def jobs_in(output):
    """{rule: number of jobs} in what `-n -q rules` prints."""
    rows = [line.split() for line in output.splitlines()]
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


def write_stores(folder, pairs, **training):
    """Two tiny stores where the workflow has them, and the configuration of a short training on them."""
    data = folder / "results/spoken_scenes/data"
    data.mkdir(parents=True)
    for seed, (split, n) in enumerate(pairs.items()):
        write_store(data / f"{split}.h5", n, seed)
        write_digest(data / f"{split}.h5")
    values = yaml.safe_load((REPO / "config.yaml").read_text()) | {"lineages": ["{2,3}"]}
    image = {"architecture": "thin_resnet", "widths": [16] * 4, "crop": 32, "resize": 36, "training_crop": "same_scale"}
    values["model"] = {
        "audio": {"widths": [16] * 5, "blocks_per_stage": 1},
        "image": image,
        "quantizer": {"codebook_size": 12, "init_nonnegative": True},
    }
    values["training"] |= {"batch_size": 8, "overrides": {}} | training
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    return folder
