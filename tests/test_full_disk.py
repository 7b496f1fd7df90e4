"""Every command that writes, on a full disk: one line says what is wrong, and everything is as it was before.

And on a file system without locks: they work.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from report import made_up
from training_child import MODEL, TRAINING

from resdavenet_vq import config
from resdavenet_vq.__main__ import app
from resdavenet_vq.commands import PANELS

TESTS = Path(__file__).parent
FOLDERS = {"corpus", "units", "report"}
"""Outputs that hold several files, to which an earlier one is added or which are exchanged."""
PAGE = 4096
NO_SPACE = r"cannot be written \(No space left on device\); free some space|bytes are missing, but the disk has space for \d+ only"
OVERWRITE = ["--overwrite"]  # of commands for people, which otherwise keep what is there
READERS = {"estimate", "plan", "verify", "validate-submission"}
"""Commands that write no file."""

ELSEWHERE = {"batch", "init"}
"""`batch` runs the others; `init` writes beside no earlier files, which these tests have (test_wheel.py)."""

SCENES = config.SpokenScenes.model_validate(
    {"layout": "spoken_scenes", "name": "test", "seed": 3, "pairs": {"train": 8}, "image_size": 48}
    | {"word_lists": {"unseen": 2}}
)
FLOCK = """
#include <errno.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>
int flock(int file, int operation) {
    if (!getenv("WITHOUT_LOCKS")) return syscall(SYS_flock, file, operation);
    errno = ENOLCK;
    return operation & LOCK_UN ? 0 : -1;
}
"""
"""Where asked to, as file systems without locks answer: NFS without lockd, Lustre without `-o flock`, some of FUSE."""

SPLIT, OPEN = config.Retrieval(split="train"), {"corpus": "scenes", "seeds": "{}"}
CLEAN = '{"train": {"of": "train", "kind": "clean", "snr_db": null}}'
RELEASED = {"data": [{"wav": "a.wav", "image": "a.jpg", "uttid": "a", "text_alignment": "0.0__A__0.1"}] * 400}


def options(**values):
    return [part for key, value in values.items() for part in (f"--{key.replace('_', '-')}", str(value))]


def section(value):
    return value.model_dump_json()


def commands(i, o):
    """Of every command its arguments and its outputs, files or folders; inputs are in the folder i, outputs go to o."""
    manifest, store, model = i / "corpus/train.json", i / "train.h5", i / "model"
    wav = next((i / "corpus/train/wavs").rglob("*.wav"), i)
    wavs = i / "corpus/train/wavs/000"
    places = json.dumps({"layout": "places", "name": "scenes", "metadata": {"train": str(manifest)}})
    abx, words = section(config.AbxScoring()), section(config.Words(split="train", held_out_split="train"))
    noise = section(config.AddedNoise(kind="white", snr_db=10, seed=1))
    units = json.dumps({"files": {"train": str(i / "c.h5")}, "format": "hdf5", "frame_period": 0.02})
    stage = {"model": section(MODEL), "training": section(TRAINING.model_copy(update={"epochs": 1}))}
    scores = [i / "retrieval.json", i / "abx.json"]
    results = i / "results/made_up"
    written = {
        "make-corpus": (options(split="train", settings=section(SCENES), out=o / "corpus") + OVERWRITE, ["corpus"]),
        "prepare": (
            options(manifest=manifest, out=o / "train.h5", report=o / "r.json") + OVERWRITE,
            ["train.h5", "r.json"],
        ),
        "prepare-part": (
            options(corpus=places, split="train", part=0, parts=1, rows_per_part=100, out=o / "parts"),
            ["parts/0.h5", "parts/0.report.json"],
        ),
        "prepare-noisy": (
            options(corpus=places, split="train", noise=noise, out=o / "noisy.h5", report=o / "n.json"),
            ["noisy.h5", "n.json"],
        ),
        "train": (
            options(lineage="2", data=store, validation=store, **stage, out=o / "model", state=i / f"state-{o.name}"),
            ["model/history.csv", "model/model.safetensors", "model/model.json", "model/README.md"],
        ),
        "encode-split": (
            options(
                model=model,
                data=store,
                embeddings=o / "e.h5",
                maps=o / "m.h5",
                codes=o / "c.h5",
                features=o / "f.h5",
                layers="conv2,quant2",
            )
            + OVERWRITE,
            ["e.h5", "m.h5", "c.h5", "f.h5"],
        ),
        "encode-logmel": (options(data=store, out=o / "l.h5") + OVERWRITE, ["l.h5"]),
        "make-untrained": (
            options(audio=section(MODEL.audio), data=store, out=o / "untrained"),
            ["untrained/model.safetensors", "untrained/model.json"],
        ),
        "fit-kmeans": (options(data=store, layers='{"quant2": 64}', system="kmeans", out=o / "k.h5"), ["k.h5"]),
        "encode-kmeans": (
            options(clusters=i / "k.h5", data=store, codes=o / "kc.h5", features=o / "kf.h5"),
            ["kc.h5", "kf.h5"],
        ),
        "import-units": (
            options(name="made", data=store, split="train", settings=units, report=o / "u.json")
            + options(codes=o / "uc.h5", features=o / "uf.h5")
            + OVERWRITE,
            ["uc.h5", "uf.h5", "u.json"],
        ),
        "encode": ([wav, *options(model=model, out=o / "units")], ["units"]),
        "encode textgrid": ([wav, *options(model=model, format="textgrid", out=o / "units")], ["units"]),
        "encode npy": ([wav, *options(model=model, format="npy", out=o / "units")], ["units"]),
        "encode-folder": (
            options(model=model, wavs=wavs, layers="conv2", out=o / "ff.h5", codes=o / "fc.h5", text=o / "text")
            + OVERWRITE,
            ["ff.h5", "fc.h5"],
        ),
        "export-units": (options(codes=i / "c.h5", format="textgrid", out=o / "textgrids"), []),
        "export-units jsonl": (
            options(codes=i / "c.h5", format="jsonl", out=o / "u.jsonl") + OVERWRITE,
            ["u.jsonl"],
        ),
        "export-units npy": (options(codes=i / "c.h5", format="npy", out=o / "arrays"), []),
        "export-units segmentation": (
            options(codes=i / "c.h5", format="segmentation", layers="quant2", features=i / "f.h5", out=o / "segments"),
            [],
        ),
        "export-alignments": ([manifest, *options(out=o / "grids")], []),
        "export-alignments ctm": ([manifest, *options(format="ctm", out=o / "ctm")], []),
        "score-retrieval": (
            options(embeddings=i / "e.h5", lineage="2", settings=section(SPLIT), out=o / "retrieval.json"),
            ["retrieval.json", "retrieval.bootstrap.csv"],
        ),
        "score-matchmap": (
            options(maps=i / "m.h5", similarity="misa", lineage="2", settings=section(SPLIT), out=o / "misa.json"),
            ["misa.json", "misa.bootstrap.csv"],
        ),
        "make-items": (
            options(data=store, settings=section(config.Items()), out=o / "train.item", report=o / "i.json")
            + OVERWRITE,
            ["train.item", "i.json"],
        ),
        "score-abx": (
            options(features=i / "f.h5", items=i / "corpus/train.item", layer="quant2", lineage="2", split="train")
            + options(settings=abx, out=o / "abx.json")
            + OVERWRITE,
            ["abx.json", "abx.phones.csv", "abx.speakers.csv", "abx.bootstrap.csv"],
        ),
        "pack-submission": (
            options(features=i / "f.h5", layer="quant2", lineage="2", out=o / "pack.zip") + OVERWRITE,
            ["pack.zip"],
        ),
        "pack-submission folder": (options(features=i / "f.h5", layer="quant2", lineage="2", out=o / "pack"), []),
        "detect-words": (
            options(codes=i / "c.h5", held_out=i / "c.h5", layer="quant2", lineage="2", settings=words, recipe="{}")
            + options(out=o / "words"),
            ["words/words.csv", "words/codes.csv", "words/summary.json", "words/bootstrap.csv"],
        ),
        "summarize": (
            [*scores, *options(**OPEN, out=o / "scores.csv", summary=o / "summary.csv")],
            ["scores.csv", "summary.csv"],
        ),
        "summarize-noise": (
            [i / "retrieval.json", *options(**OPEN, conditions=CLEAN, out=o / "noise.csv")],
            ["noise.csv"],
        ),
        "compare": (
            [i / "scores.csv", *options(out=o / "comparison.csv", differences=o / "differences.csv"), *OVERWRITE],
            ["comparison.csv", "differences.csv"],
        ),
        "import-released": (
            [
                TESTS / "golden/reference_experiment",
                *options(lineage="23", out=o / "released"),
                "--allow-unknown",
                *OVERWRITE,
            ],
            ["released/history.csv", "released/model.safetensors", "released/model.json", "released/README.md"],
        ),
        "fetch-released": (options(metadata="train", out=o), []),
        "figure": (
            [
                "retrieval",
                *options(results=results, out=o / "f.pdf"),
                *options(out=o / "f.svg"),
                *options(out=o / "f.png"),
                *OVERWRITE,
            ],
            ["f.pdf", "f.svg", "f.png"],
        ),
        "figure keyword": (
            ["keyword", *options(results=results, out=o / "k.png", split="test", word="red"), "--sounds", *OVERWRITE],
            ["k.png", "k-01.wav"],
        ),
        "table": (["retrieval", *options(results=results, out=o / "t.md"), *OVERWRITE], ["t.md"]),
        "write-report": (
            options(results=results, systems="none,none-2", split="test", settings=section(config.Report(utterances=1)))
            + options(out=o / "report"),
            ["report"],
        ),
    }
    return {name: ([name.split()[0], *map(str, argv)], outputs) for name, (argv, outputs) in written.items()}


NAMES = [*commands(Path("i"), Path("o"))]


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(RELEASED).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Runner:
    """Runs commands in the process of `full_disk`; those that make the inputs of others on a file system without locks."""

    def __init__(self, folder, port, preloaded):
        self.inputs, self.made = folder, {}
        self.environment = {"RESDAVENET_VQ_DOWNLOADS": f"http://127.0.0.1:{port}/"}
        self.process = subprocess.Popen(
            [sys.executable, TESTS / "full_disk.py"],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | preloaded,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, argv, place, earlier=None, left=None, **variables):
        place.mkdir(parents=True, exist_ok=True)
        job = {"argv": argv, "place": str(place), "earlier": earlier or {}, "left": left}
        print(json.dumps(job | {"environment": self.environment | variables}), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def make(self, name):
        """Runs a command for the inputs of others, once; returns the bytes that it writes."""
        if name not in self.made:
            argv, _ = commands(self.inputs, self.inputs)[name]
            before = {*self.inputs.rglob("*")}
            done = self.run(argv, self.inputs, WITHOUT_LOCKS="1")
            assert done["status"] == 0, done["text"]
            assert is_for_people(argv[0]) == ("written: " in done["text"])
            new = {*self.inputs.rglob("*")} - before
            self.made[name] = sum(path.stat().st_size for path in new if path.is_file() and "state" not in str(path))
        return self.made[name]


@pytest.fixture(scope="module")
def preloaded(tmp_path_factory):
    """The environment with which `flock` is FLOCK; empty without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return {}
    library = tmp_path_factory.mktemp("library") / "flock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", library], input=FLOCK, text=True, check=True)
    return {"LD_PRELOAD": str(library)}


@pytest.fixture(scope="module")
def runner(tmp_path_factory, preloaded):
    folder = tmp_path_factory.mktemp("inputs")
    made_up.build(folder / "results/made_up", made_up.utterances(tmp_path_factory.mktemp("corpus"), 4))
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        runner = Runner(folder, server.server_port, preloaded)
        yield runner
        runner.process.stdin.close()
        runner.process.wait()
        server.shutdown()
        thread.join()


def is_for_people(name):
    (command,) = (c for c in app.registered_commands if (c.name or c.callback.__name__.replace("_", "-")) == name)
    return command.rich_help_panel == PANELS[0]


def test_no_command_is_forgotten():
    registered = {command.name or command.callback.__name__.replace("_", "-") for command in app.registered_commands}
    assert {name.split()[0] for name in NAMES} | READERS | ELSEWHERE == registered


@pytest.mark.parametrize("name", NAMES)  # in this order: each makes the input of later ones
@pytest.mark.parametrize("share", [pytest.param(1 / 3), pytest.param(0, marks=pytest.mark.thorough)])
def test_a_full_disk(runner, tmp_path, name, share):
    """A disk with room for a share of what the command writes."""
    size = runner.make(name)
    argv, outputs = commands(runner.inputs, tmp_path / "full")[name]
    earlier = {f"{o}/earlier" if o in FOLDERS else o: f"earlier {o}" for o in outputs}
    failed = runner.run(argv, tmp_path / "full", earlier, int(size * share) // PAGE * PAGE)
    lines = [line for line in failed["text"].splitlines() if line.startswith("error: ")]
    assert failed["status"] == 1, failed["text"]
    assert len(lines) == 1
    assert failed["text"].endswith(f"{lines[0]}\n")
    assert f"{tmp_path}/full" in lines[0]
    assert re.search(NO_SPACE if failed["disk"] == "tmpfs" else "cannot be written .*; ", lines[0])
    assert "/." not in lines[0], "the error names a temporary file"
    if failed["disk"] == "tmpfs":
        assert not re.search("Traceback|Exception ignored", failed["text"])
    assert {file: text for file, text in failed["files"].items() if not file.endswith(".part")} == earlier


@pytest.fixture
def without_locks(preloaded):
    """The environment in which WITHOUT_LOCKS has its effect."""
    if not preloaded:
        pytest.skip("there is no C compiler to make a file system without locks of")
    return preloaded


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("without_locks")
def test_a_file_system_without_locks(runner, name):
    runner.make(name)
    assert not [*runner.inputs.rglob("*lock*")], "a lock is left"


def test_without_locks_nothing_is_locked_and_otherwise_it_is(without_locks, tmp_path):
    code = "import fcntl, sys; fcntl.flock(open(sys.argv[1], 'w'), fcntl.LOCK_EX)"
    for variables, status in (({}, 0), ({"WITHOUT_LOCKS": "1"}, 1)):
        environment = os.environ | without_locks | variables
        run = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "a"], env=environment, capture_output=True, check=False
        )
        assert run.returncode == status, run.stderr
