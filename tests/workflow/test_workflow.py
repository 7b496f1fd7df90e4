"""The workflow as people use it: one complete tiny run, what a dry run says after changes, and its messages."""

import json
import math
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import yaml
from workflow.running import REPO, TINY, dry_runs, snakemake

from resdavenet_vq.evaluation.summary import read_comparison, read_noise, read_scores

LINEAGES = ["none", "none-2", "none-2-23"]
MODELS = {"{}", "{}->{2}", "{}->{2}->{2,3}"}
FEATURES = {"raw log-mel", "normalized log-mel", "untrained"}
CLUSTERS = {"k-means of log-mel", "k-means of log-mel, 8 codes", "k-means of untrained", "k-means of {}"}


def pending(folder, *changes):
    """Every file that a dry run would make, with its rule, for each of these changes of the configuration."""
    lines = []
    for number, change in enumerate(changes):
        file = folder / f"changes.{number}.yaml"
        file.write_text(yaml.safe_dump(change))
        lines.append(["--summary", "--snakefile", REPO / "Snakefile", "--cores", 2, "--configfile", *TINY, file])
    answers = []
    for status, output in dry_runs(folder, lines):
        assert status == 0, output
        rows = [line.split("\t") for line in output.splitlines() if line.count("\t") >= 5]
        assert rows[0][0] == "output_file", output
        answers.append({(row[0], row[2]) for row in rows[1:] if row[5] != "no update"})
    return answers


@pytest.fixture(scope="module")
def finished(forking, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    snakemake(folder, configfiles=TINY, **forking)
    return folder


WORDS = {"detect_words_clusters", "detect_words_quant2", "detect_words_quant2_quant3"}
CHANGES = {
    "none": ({}, set()),
    "words": ({"words": {"min_occurrences": 3}}, {*WORDS, "summarize", "compare", "write_report"}),
    "processes": ({"training": {"workers": 2, "gpus": 0}}, set()),
}
TWO_SEEDS = {"seeds": [8675309, 1]}


@pytest.fixture(scope="module")
def after(finished):
    """Every file that a dry run would make after the run, with its rule, by what changed."""
    changes = {name: change for name, (change, _) in CHANGES.items()}
    changes |= {"seeds": TWO_SEEDS, "seeds in another order": {"seeds": [1, 8675309]}}
    return dict(zip(changes, pending(finished, *changes.values()), strict=True))


def test_a_complete_run_makes_every_result(finished):
    root = finished / "results/spoken_scenes"
    for lineage in LINEAGES:
        for name in ("model/model.safetensors", "model/model.json", "model/history.csv", "retrieval/test.json"):
            assert (root / lineage / name).stat().st_size, (lineage, name)
    assert (root / "none-2-23/abx/test/quant3.zip").stat().st_size
    assert (root / "none-2-23/words/quant3/test/words.csv").stat().st_size
    assert set(pd.read_csv(root / "summary.csv")["lineage"]) == MODELS | FEATURES | CLUSTERS
    scored = read_scores(root / "scores.csv").query("task != 'layer'").groupby("task")["lineage"].agg(set)
    assert scored["abx"] == MODELS | FEATURES | CLUSTERS
    assert scored["bitrate"] == scored["words"] == (MODELS | CLUSTERS) - {"{}"}
    assert scored["retrieval"] == MODELS
    assert "{} → {2} → {2,3}" in (root / "report/index.html").read_text()
    abx = json.loads((root / "none-2/abx/test/quant2.json").read_text())
    assert 0 <= abx["within_error"] <= 100
    assert 0 <= abx["across_error"] <= 100
    assert {"layer", "split", "lineage", "frame_period", "distance"} <= abx.keys()
    history = pd.read_csv(root / "none-2-23/model/history.csv")
    assert len(history) == 1
    assert all(math.isfinite(v) for v in history.select_dtypes("number").to_numpy().ravel())


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_setting_re_runs_what_depends_on_it_alone(after, name):
    assert {rule for _, rule in after[name]} == CHANGES[name][1]


def test_nothing_is_left_to_do_after_touching_files(finished, after):
    for file in (finished / "results/spoken_scenes/corpus").glob("*.json"):
        file.touch()
    assert pending(finished, {}) == [set()]


def test_another_seed_of_a_finished_project_trains_and_scores_that_seed_alone(finished, after, forking, tmp_path):
    made = after["seeds"]
    of_both = {rule for file, rule in made if "-seed1/" not in file}
    assert of_both == {"summarize", "compare", "write_report"}
    trained = {file.split("/")[2] for file, rule in made if rule == "train"}
    assert trained == {f"{lineage}-seed1" for lineage in LINEAGES}
    assert {file for file, _ in after["seeds in another order"]} == {file for file, _ in made}

    root = tmp_path / "results/spoken_scenes"
    for part in (".snakemake", "results"):
        shutil.copytree(finished / part, tmp_path / part)
    (tmp_path / "changes.yaml").write_text(
        yaml.safe_dump(TWO_SEEDS | {"lineages": ["{}"], "figures": {"formats": ["svg"]}})
    )
    names = ("comparison.csv", "figures/retrieval.svg", "tables/abx.tex")
    targets = [root.relative_to(tmp_path) / name for name in names]
    snakemake(tmp_path, *targets, configfiles=[*TINY, tmp_path / "changes.yaml"], **forking)
    weights = "results/spoken_scenes/none/model/model.safetensors"
    assert (tmp_path / weights).read_bytes() == (finished / weights).read_bytes()
    cards = [json.loads((root / folder / "model/model.json").read_text()) for folder in ("none", "none-seed1")]
    assert [card["training"]["seed"] for card in cards] == [8675309, 1]
    within = "lineage == '{}' and layer == 'conv2' and task == 'abx' and condition == 'within'"
    rows = read_scores(root / "scores.csv").query(within)
    assert rows["seed"].tolist() == [8675309, 1]
    (row,) = read_comparison(root / "comparison.csv").query(within).to_dict("records")
    assert (row["seeds"], row["n"]) == ("8675309 1", 2)
    assert row["mean"] == pytest.approx(rows["value"].mean())
    assert row["std"] == pytest.approx(rows["value"].std())
    assert "in brackets the 95 % interval\n% mean over 2 seeds" in (root / "tables/abx.tex").read_text()
    assert "(n = 2)" in (root / "figures/retrieval.svg").read_text()


def commands(root):
    """Of every job that makes several results, the names of the commands that its last run needed; none if nothing had changed."""
    logs = {log: log.read_text().splitlines() for log in (root / "logs").rglob("*.log")}
    return {
        str(log.relative_to(root / "logs")): {line.split()[2] for line in lines if line.startswith("$ ")}
        for log, lines in logs.items()
        if any(line.startswith(("$ ", "unchanged: ")) for line in lines)
    }


def test_a_job_with_several_results_makes_those_again_that_changed(finished, forking, tmp_path):
    """A new layer of ABX, and a setting of words: features are encoded, words are detected, and the rest is left."""
    shutil.copytree(finished, tmp_path / "tiny")
    root = tmp_path / "tiny/results/spoken_scenes"
    (tmp_path / "more.yaml").write_text(
        yaml.safe_dump({"abx": {"convolutional_layers": ["conv2", "conv3"]}, "words": {"precision_threshold": 0.4}})
    )
    before = {
        file: file.read_bytes() for kind in ("codes", "maps", "embeddings") for file in root.rglob(f"{kind}/*.h5")
    }
    snakemake(tmp_path / "tiny", configfiles=[*TINY, tmp_path / "more.yaml"], **forking)
    assert {file: file.read_bytes() for file in before} == before
    ran = commands(root)
    encoded = {name: words for name, words in ran.items() if name.startswith("encode_embeddings")}
    assert len(encoded) == 3
    assert all(words == {"encode-split"} for words in encoded.values())
    for name in encoded:
        log = (root / "logs" / name).read_text()
        assert "--features" in log
        assert not {"--codes", "--maps", "--embeddings"} & set(log.split())
    assert {name for name, words in ran.items() if words == {"detect-words"}} >= {"detect_words_clusters.log"}
    retrieval = [words for name, words in ran.items() if name.startswith("score_retrieval")]
    assert retrieval == [set()] * 3
    scored = [line for log in root.glob("logs/score_abx_conv2_conv3*/*") for line in log.read_text().splitlines()]
    layers = {line.split("--layer ")[1].split()[0] for line in scored if line.startswith("$ ") and "score-abx" in line}
    assert layers == {"conv2", "conv3", "quant2", "quant3", "onehot2", "onehot3"}, "their features file is a new one"
    unchanged = (root / "logs/score_abx_clusters.log").read_text()
    assert "$ " not in unchanged
    assert unchanged.count("unchanged: ") == 8


def test_scores_under_noise(finished, forking, tmp_path):
    """One lineage, kind and ratio, after a run without noise, of which everything is used as it is."""
    shutil.copytree(finished, tmp_path / "tiny")
    extra = tmp_path / "noise.yaml"
    extra.write_text(
        yaml.safe_dump({"lineages": ["{}->{2}"], "noise": {"kinds": ["white"], "snr_db": [0], "babble_speakers": 3}})
    )
    root = tmp_path / "tiny/results/spoken_scenes"
    before = {file: file.stat().st_mtime_ns for file in root.rglob("*") if file.is_file() and "logs" not in file.parts}
    snakemake(tmp_path / "tiny", "noise", configfiles=[*TINY, extra], **forking)
    assert {file: file.stat().st_mtime_ns for file in before} == before, "nothing without noise is made again"
    table = read_noise(root / "noise.csv")
    kinds = table.groupby(["lineage", "layer", "task"])["kind"].agg(set).to_dict()
    assert kinds.keys() >= {
        ("raw log-mel", "logmel", "abx"),
        ("{}->{2}", "", "retrieval"),
        ("{}->{2}", "quant2", "abx"),
        ("{}->{2}", "quant2", "words"),
    }
    assert all(kinds[key] == {"clean", "white"} for key in kinds if key[2] in {"retrieval", "abx", "words"})
    noisy = table["clean_split"] != table["split"]
    assert table["snr_db"][noisy].notna().all()
    clean, white = table.query("layer == 'logmel' and task == 'abx' and condition == 'across'")["value"]
    assert clean < white


def test_a_misspelt_key_stops_a_dry_run_with_its_name(forking, tmp_path):
    extra = tmp_path / "wrong.yaml"
    extra.write_text("training: {epohs: 3}\n")
    output = snakemake(tmp_path, "-n", configfiles=[*TINY, extra], succeeds=False, **forking)
    assert "training.epohs: no such key; did you mean 'epochs'?" in output
    assert "Traceback" not in output


def test_a_truncated_wav_stops_preparation_and_is_named(finished, tmp_path):
    corpus = tmp_path / "results/spoken_scenes/corpus"
    shutil.copytree(finished / "results/spoken_scenes/corpus", corpus)
    victim = sorted((corpus / "val/wavs").rglob("*.wav"))[3]
    victim.write_bytes(victim.read_bytes()[:5000])
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "resdavenet_vq",
            "prepare",
            "--manifest",
            corpus / "val.json",
            "--out",
            tmp_path / "val.h5",
            "--report",
            tmp_path / "val.report.json",
        ],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert victim.stem in run.stderr
    assert "truncated" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "val.h5").exists()


def test_a_dry_run_imports_nothing_heavy(tmp_path):
    code = (
        "import sys; from snakemake.cli import get_argument_parser, main\n"
        "get_argument_parser(); plugins = set(sys.modules)\n"  # Snakemake's plugin for SLURM brings pandas, with any workflow
        f"args = ['-n', '-q', 'all', '--snakefile', {str(REPO / 'Snakefile')!r}, '--cores', '1', '--directory', {str(tmp_path)!r}]\n"
        "try: main(args)\n"
        "except SystemExit as e: assert not e.code, e.code\n"
        "heavy = {'torch', 'h5py', 'pandas', 'scipy', 'librosa', 'fastabx'} & (set(sys.modules) - plugins); assert not heavy, heavy"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
