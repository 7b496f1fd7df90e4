"""The workflow as a module of another one: a plan of everything, and two small jobs that really run."""

import os
import subprocess
import sys

import pytest

HOST = """
module resdavenet_vq:
    snakefile:
        "{checkout}/Snakefile"
    config:
        config


use rule * from resdavenet_vq as vq_*


rule count:
    input:
        "results/small/data/val.report.json",
    output:
        "count.txt",
    shell:
        "wc -c < {{input}} > {{output}}"
"""
SMALL = """
corpus: {layout: spoken_scenes, name: small, seed: 1, pairs: {train: 4, val: 2, test: 2}, image_size: 32}
lineages: ["{}", "{}->{2}"]
model: {audio: {widths: [8, 8, 8, 8, 8]}, image: {architecture: thin_resnet, crop: 32, resize: 36}}
training: {split: train, validation_split: val}
retrieval: {split: test}
words: {split: train, held_out_split: test}
"""


@pytest.fixture
def host(checkout, tmp_path):
    """Another workflow, in a folder of its own."""
    (tmp_path / "Snakefile").write_text(HOST.format(checkout=checkout))
    (tmp_path / "small.yaml").write_text(SMALL)
    return tmp_path


def snakemake(folder, *arguments):
    run = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", *arguments],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


def test_a_rule_of_the_host_is_made_from_results_of_the_module(host):
    snakemake(host, "--configfile", "small.yaml", "--", "count")
    assert int((host / "count.txt").read_text()) == (host / "results/small/data/val.report.json").stat().st_size
    assert (host / "results/small/corpus/val.json").exists()
    assert not (host / "results/small/data/train.h5").exists()


def test_everything_is_planned_under_the_hosts_names(host):
    said = snakemake(
        host, "--configfile", "small.yaml", "-n", "-q", "rules", "--", "vq_all", "vq_figures", "vq_tables", "vq_noise"
    )
    for rule in ("vq_train", "vq_detect_words", "vq_prepare_noisy", "vq_draw_figure", "vq_write_report"):
        assert rule in said


def test_without_a_configuration_of_its_own_it_is_the_demo(host):
    said = snakemake(host, "-n", "--", "vq_models")
    assert "results/spoken_scenes/none-2-23/model/model.json" in said


CORPUS = "corpus: {layout: places, name: mine, metadata: {train: a.json, val: b.json, test: c.json}}"


@pytest.mark.parametrize("below", [False, True], ids=["whole", "a section"])
def test_a_corpus_alone_has_the_settings_of_small_corpora(host, below):
    """Also where the host hands over a section of its own configuration."""
    if below:
        text = (host / "Snakefile").read_text()
        (host / "Snakefile").write_text(text.replace("        config\n", '        config["speech"]\n'))
    (host / "mine.yaml").write_text(f"speech: {{{CORPUS}, training: {{epochs: 3}}}}" if below else f"{CORPUS}\ntraining: {{epochs: 3}}")  # fmt: skip
    for name in "abc":
        (host / f"{name}.json").touch()
    said = snakemake(host, "--configfile", "mine.yaml", "-n", "-p", "--", "vq_models")
    assert "results/mine/none-23/model/model.json" in said
    assert '"epochs": 3, "steps": null, "patience": 20' in said
    assert '"new_codebooks": "parent_activations"' in said
