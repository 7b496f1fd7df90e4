"""Every word of the configuration and every path reaches each command as it is, and nothing in it runs."""

import itertools
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from workflow import planner
from workflow.plans import values_of
from workflow.running import ENVIRONMENT

from resdavenet_vq import config
from resdavenet_vq.config import SpokenScenes
from resdavenet_vq.demo import corpus as spoken_scenes
from resdavenet_vq.errors import InputError

HOSTILE = (
    "$(touch CANARY)",
    'it\'s "one"  ; touch CANARY & `touch CANARY` | touch CANARY $HOME > CANARY < CANARY',
    "-é 猫 ~ * ? [a-z] # ! %s \\ \\n",
)
"""Texts that a shell would take apart or carry out. Each is also the name of files."""

BRACES = "{input} {x} {} {{y}} {0} {"
"""What Snakemake would fill in."""

FOLDER = "it's  ü; $(touch CANARY) `touch CANARY`"

THIN = {"architecture": "thin_resnet"}
PROGRAMS = ("env", "python", "torchrun", "srun")


def demo(text):
    """A configuration of the demo corpus, with a text wherever one may be, and odd names of splits."""
    free = f"{text} {BRACES}"
    names = {"train": 8, "v.al-1": 4, "te_st.h5": 4}
    values = values_of(
        corpus={"name": "a.b-c_d", "pairs": names, "word_lists": {"ab.x": 4}},
        lineages=["{}->{2}", "{1}"],
        released={"{}": f"{text}.zip"},
        model={"image": THIN | {"weights": f"{text}.pth"}},
        preparation={"rows_per_part": 4, "parts": {"train": 2}},
        training={"validation_split": "v.al-1", "overrides": {}, "gpus": 2},
        retrieval={"split": "te_st.h5", "similarities": ["pooled", "sisa"]},
        abx={
            "splits": ["te_st.h5", "ab.x"],
            "variants": ["onehot"],
            "submission": {
                "editions": [2019, 2020, 2021],
                "author": free,
                "affiliation": f"of {free}",
                "train_set": f"from {free}",
            },
        },
        words={"held_out_split": "te_st.h5"},
        noise={"kinds": ["white", "st.reet-1"], "files": {"st.reet-1": f"{text}.txt"}, "snr_db": [10.0]},
        external={
            "a.b-c_d": {
                "files": {"train": f"{text}.units", "te_st.h5": f"{text}.h5"},
                "format": "hdf5",
                "frame_period": 0.02,
                "codebook": f"{text}.npy",
            }
        },
        report={"noise": True},
        figures={
            "keywords": [free, f"-{text}"],
            "utterances": [f"u{free}", f"--{text}"],
            "formats": ["pdf", "svg"],
        },
    )
    texts = {free, f"of {free}", f"from {free}", f"--word={free}", f"--word=-{text}"}
    texts |= {f"--utterance=u{free}", f"--utterance=--{text}"}
    paths = {f"{text}.{suffix}" for suffix in ("zip", "pth", "txt", "units", "h5", "npy")}
    return values, texts, paths, []


def imported(text):
    """A configuration of a corpus of others, with every kind of path."""
    files = {
        "metadata": {split: f"{text}.{split}.json" for split in ("train", "val", "test")},
        "items": {"test": f"{text}.item"},
        "alignments": {"val": f"{text}.ctm"},
        "release_hdf5": {split: f"{text}.{split}.hdf5.json" for split in ("train", "val", "test")},
    }
    folders = {"audio_base_path": f"{text} sounds", "image_base_path": f"{text} images"}
    values = values_of(
        corpus=None,
        lineages=["{}"],
        preparation={"reader": "release_2020"},
        abx={"splits": ["val", "test"]},
    )
    values["corpus"] = {"layout": "places", "name": "imported", **files, **folders}
    return values, set(), {name for some in files.values() for name in some.values()}, list(folders.values())


def leaves(word):
    """A word, and every text in it if it is JSON."""
    yield word
    try:
        values = [json.loads(word)]
    except ValueError:
        return
    while values:
        value = values.pop()
        if isinstance(value, dict | list):
            values.extend(value.values() if isinstance(value, dict) else value)
        elif isinstance(value, str):
            yield value


def expected(job):
    """The words of a command: those of the rule's text, with the placeholders' words in their places."""
    text = job["template"]
    loop = re.match(r"set --; for file in (\S+); do set -- \"\$@\" (\S+) \"\$file\"; done; (.*)", text)
    each = []
    if loop:
        each, text = [word for file in job["words"][loop[1]] for word in (loop[2], file)], loop[3]
    words = []
    for token in shlex.split(text):
        folder = re.fullmatch(r"\$\(dirname (.*)\)", token)
        places = [found[0] for found in planner.PLACEHOLDER.finditer(token)]
        if token == "$@":
            words += each
        elif folder:
            words += [str(Path(word).parent) for word in job["words"][folder[1]]]
        elif token in places:
            words += job["words"][token]
        else:
            words.append(planner.PLACEHOLDER.sub(lambda found: "".join(job["words"][found[0]]), token))
    *words, redirection, log = words
    assert (redirection, log) == ("2>", *job["log"])
    return words


def given(job, folder):
    """The words that the shell gives to the program of a job."""
    Path(folder, *job["log"]).parent.mkdir(parents=True, exist_ok=True)
    functions = "".join(f"{name}() {{ printf '%s\\0' {name} \"$@\"; }}; " for name in PROGRAMS)
    script = f"set -euo pipefail; {functions}{job['shellcmd']}"
    run = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, (job["rule"], run.stderr)
    return run.stdout.split("\0")[:-1]


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def planned(checkout, tmp_path_factory):
    """Of each configuration its folder, the texts in it, and all commands."""
    cases = []
    for kind, text in itertools.product((demo, imported), HOSTILE):
        folder = tmp_path_factory.mktemp("planned")
        values, texts, paths, folders = kind(text)
        for path in paths:
            (folder / path).write_text("x")
        targets = ["all", "models", "noise", "figures", "tables"] if kind is demo else ["all"]
        question = {"do": "commands", "folder": folder, "config": values, "targets": targets, "resources": {"gpu": 2}}
        cases.append((question, folder, texts | paths | set(folders)))
    answers = planner.ask(checkout, [question for question, *_ in cases])
    return [(folder, texts, answer) for (_, folder, texts), answer in zip(cases, answers, strict=True)]


def test_every_placeholder_is_quoted_and_every_substitution_too(planned):
    for job in planned[0][2]["jobs"] + planned[-1][2]["jobs"]:
        text = job["template"]
        assert all(found[3] for found in planner.PLACEHOLDER.finditer(text)), text
        assert re.findall(r"\{[^}]*\}", text) == [found[0] for found in planner.PLACEHOLDER.finditer(text)]
        assert text.count("$(") == text.count('"$('), text


def test_each_command_gets_its_words_as_they_are(planned):
    for folder, texts, answer in planned:
        before, logs, seen = files(folder), set(), set()
        for job in answer["jobs"]:
            words = given(job, folder)
            assert words == expected(job), job["rule"]
            seen |= {leaf for word in words for leaf in leaves(word)}
            logs |= set(job["log"])
        assert texts <= seen
        assert files(folder) == before | logs, "something ran"


def test_every_rule_with_a_command_is_tried(planned):
    tried = {job["template"] for *_, answer in planned for job in answer["jobs"]}
    assert tried == set(planned[0][2]["templates"])


@pytest.mark.parametrize(
    ("section", "value", "message"),
    [
        ("figures", {"keywords": ["two\nlines"]}, r"figures.keywords: 'two\\nlines' has a line break"),
        ("figures", {"utterances": ["a\0"]}, r"figures.utterances: 'a\\x00' has a line break or another control"),
        ("released", {"{}": "a\nb.zip"}, r"released.{}: 'a\\nb.zip' has a line break"),
        ("released", {"{}": "a{x}.zip"}, r"released.{}: 'a{x}.zip' has braces.* give the file or a link"),
        (
            "external",
            {"a": {"files": {"test": "{x}"}, "format": "segments"}},
            r"external.a.files.test: '{x}' has braces",
        ),
        ("noise", {"files": {"street": "{x}"}}, r"noise.files.street: '{x}' has braces"),
        ("model", {"image": THIN | {"weights": "{x}.pth"}}, r"model.image.weights: '{x}.pth' has braces"),
    ],
)
def test_what_no_command_line_can_have_is_a_fault_of_the_configuration(section, value, message):
    with pytest.raises(InputError, match=message):
        config.read(values_of(**{section: value}))


def test_a_run_in_folders_with_hostile_names(checkout, tmp_path):
    """Checkout, results, configuration and corpus; as far as ABX items, by two rules."""
    here, run, corpus = (tmp_path / f"{name} {FOLDER}" for name in ("checkout", "run", "corpus"))
    shutil.copytree(checkout, here)
    run.mkdir()
    settings = SpokenScenes(layout="spoken_scenes", name="x", seed=3, pairs={"train": 1, "val": 8}, image_size=32)
    spoken_scenes.make(settings, "val", corpus, 1)
    metadata = dict.fromkeys(("train", "val", "test"), str(corpus / "val.json"))
    values = values_of(
        corpus=None, retrieval={"split": "val"}, abx={"splits": ["val"]}, words={"held_out_split": "val"}
    )
    values["corpus"] = {"layout": "places", "name": "x", "metadata": metadata}
    file = run / f"{FOLDER}.yaml"
    file.write_text(yaml.safe_dump(values))
    words = [
        "--snakefile",
        here / "Snakefile",
        "--directory",
        run,
        "--cores",
        "1",
        "--configfile",
        file,
        "--",
        "results/x/items/val.item",
    ]
    command = [sys.executable, "-m", "snakemake", *map(str, words)]
    ended = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (run / "results/x/items/val.item").read_text() == (corpus / "val.item").read_text()
    assert not list(tmp_path.rglob("CANARY"))


def test_a_workflow_where_it_cannot_be_says_so(checkout, tmp_path):
    for name in ("a{x}", "a:b"):
        (tmp_path / name).symlink_to(checkout)
    output = [
        subprocess.run(
            [sys.executable, "-m", "snakemake", "-n", "--snakefile", tmp_path / name / "Snakefile"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        for name in ("a{x}", "a:b")
    ]
    assert [run.returncode for run in output] == [1, 1]
    assert f"The workflow cannot be in {tmp_path}/a{{x}}: move it to a path without {{ }}" in output[0].stdout
    assert f"The workflow cannot be in {tmp_path}/a:b: move it to a path without :" in output[1].stdout
