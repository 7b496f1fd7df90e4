"""What changed between recorded parameters and today's, and `resdavenet-vq plan`, which names it."""

import subprocess
import sys

import pytest
import yaml
from workflow import planner
from workflow.staleness import World

from resdavenet_vq.workflow.changes import changes

CONFIG = {
    "training": {"epochs": 8, "overrides": {}, "threads": 1},
    "abx": {"scoring": {"seed": 1, "distance": "angular"}, "splits": ["test"]},
    "words": {"split": "val", "best": 250},
}


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        (['{"epochs": 8, "overrides": {}}'], ['{"epochs": 9, "overrides": {}}'], ["training.epochs 8 -> 9"]),
        (['{"seed": 0, "distance": "angular"}'], ['{"seed": 1, "distance": "angular"}'], ["abx.scoring.seed 0 -> 1"]),
        (
            ['{"epochs": 8, "overrides": {}}', '{"seed": 0, "distance": "angular"}'],
            ['{"seed": 1, "distance": "angular"}', '{"epochs": 9, "overrides": {}}'],
            ["training.epochs 8 -> 9", "abx.scoring.seed 0 -> 1"],
        ),
        (['{"epochs": 8}'], ['{"epochs": 8, "threads": 1}'], ["training.threads null -> 1"]),
        (["files:0a0b0c0d hdf5:01020304"], ["files:0a0b0c0d hdf5:01020305 new:00000000"], ["module hdf5", "module new"]),
        ([f"{'a' * 64}  u/a.json\n{'b' * 64}  u/b.json"], [f"{'a' * 64}  u/a.json\n{'c' * 64}  u/b.json"], ["file u/b.json"]),
        ([], [f"{'a' * 64}  u/a b.json"], ["file u/a b.json"]),
        (["40"], ["100"], ["limit 40 -> 100"]),
        (['{"quant2": 8}'], ['{"quant2": 9}'], ["layers.quant2 8 -> 9"]),
        ([["--noise", "noise.csv"]], [["noise.csv"]], ['no longer "--noise"']),
        ([["--limit", "0", '{"best": 1}']], [["--limit", "7", '{"best": 250}']], ["words.best 1 -> 250", 'options "0" -> "7"']),
    ],
)  # fmt: skip
def test_the_keys_modules_and_files_that_differ_are_named(old, new, lines):
    names = {"100": "limit", repr('{"quant2": 9}'): "layers", repr(["--limit", "7", '{"best": 250}']): "options"}
    found = changes(map(_recorded, old), map(_recorded, new), names, CONFIG)
    assert sorted(found) == sorted(lines)


def _recorded(value):
    return value if isinstance(value, str) and value.isdigit() else repr(value)


def plan(forking, folder, values, *arguments):
    (folder / "values.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    words = [
        "--snakefile",
        forking["checkout"] / "Snakefile",
        "--configfile",
        folder / "values.yaml",
        "--directory",
        folder,
    ]
    run = subprocess.run(
        [sys.executable, "-m", "resdavenet_vq", "plan", *map(str, words), *arguments],
        env=forking["environment"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return run.returncode, run.stdout or run.stderr  # a failure alone; beside a plan it says how long it takes


@pytest.fixture
def pretended(forking, tmp_path):
    """A world in which everything is made."""
    world = World.named("external")
    for name in world.files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    question = {"folder": tmp_path, "targets": world.targets, "config": world.values}
    planner.ask(forking["checkout"], [{"do": "pretend"} | question])
    return tmp_path, world


def test_a_plan_names_the_key_the_module_and_the_file_of_each_job(pretended, forking):
    folder, world = pretended
    code, text = plan(forking, folder, world.values)
    assert (code, text.split(":")[0]) == (0, "Nothing would run")

    values = world.values | {"training": world.values["training"] | {"margin": 0.9}}
    code, text = plan(forking, folder, values)
    lines = text.splitlines()
    assert code == 0
    assert lines[0].endswith(" jobs would run.")
    assert lines[1].split(maxsplit=2) == ["1", "train", "training.margin 1.0 -> 0.9"]
    assert len(text) < 2000
    rows = {tuple(line.split(maxsplit=2)[1:]) for line in lines[1:]}
    assert ("encode_embeddings_maps_features", "after train") in rows
    assert not any("prepare" in row[0] for row in rows)

    (folder / "u/a.km").write_text("changed")
    code, text = plan(forking, folder, world.values, "--each")
    assert code == 0
    row = next(line for line in text.splitlines() if "import_units" in line)
    assert row.split(maxsplit=2)[2] == "file u/a.km"
    assert "/external-a/codes/" in text

    module = forking["checkout"] / "resdavenet_vq/evaluation/words.py"
    before = module.read_text()
    module.write_text(before + "\nCHANGED = 1\n")
    (folder / "u/a.km").write_text("u/a.km")
    try:
        code, text = plan(forking, folder, world.values)
    finally:
        module.write_text(before)
    assert code == 0
    rows = [line.split(maxsplit=2)[1:] for line in text.splitlines()[1:]]
    assert rows[0] == ["detect_words_units", "module evaluation.words"]
    assert {rule for rule, _ in rows} == {"detect_words_units", "summarize", "compare", "write_report"}


def test_a_plan_that_cannot_be_made_is_one_line(pretended, forking):
    folder, world = pretended
    for values, arguments, line in (
        (world.values | {"nonsense": 1}, [], "nonsense: no such key"),
        (world.values, ["no_such_target"], "No rule to produce no_such_target"),
        (world.values, ["--configfile", "none.yaml"], "none.yaml: no such file"),
        (world.values, ["--snakefile", "nowhere/Snakefile"], "nowhere/Snakefile: no such file"),
    ):
        code, text = plan(forking, folder, values, *arguments)
        assert code == 1
        assert line in text
        assert "Traceback" not in text
