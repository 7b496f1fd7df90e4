"""Whole jobs against the 2020 release's way: processes as users start them, processor seconds, start-up included.

    python benchmarks/jobs.py [--pairs 2000] [--few 200] [--repeats 3]

The release's way is a script in `release_2020/`, one process a job; the package's way are its commands, or for the bitrate its
functions, each a process of its own. Both take the same recordings, about as long as those of Places Audio (8.4 s), images of 256 pixels and a model of
the demo's size with random weights, in their own formats; both compute in one thread. The jobs: `--pairs` pairs prepared; retrieval among
`--few` of them; codes of `--pairs` utterances and the words that they detect, for two quantizers; code vectors of `--few` recordings for
ABX, as a file that is scored and as text files; and the bitrate of one layer of these.

The package's way includes what the release's does not do, such as checks, chance levels, held-out scores and bootstrap intervals. That results agree is tested every time: features, recalls, detectors of words, code vectors,
bitrates.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import soundfile
import torch
from measuring import measure, row, run, write
from PIL import Image, ImageFilter
from release_2020 import network

from resdavenet_vq.config import AudioModel, ImageModel, Model
from resdavenet_vq.data.features import log_mel
from resdavenet_vq.data.store import Store
from resdavenet_vq.model import checkpoint
from resdavenet_vq.model.dual_encoder import DualEncoder

MODEL = Model(
    audio=AudioModel(widths=(32, 32, 64, 64, 128), blocks_per_stage=1),
    image=ImageModel(architecture="thin_resnet", crop=64, resize=72),
)
LAYERS = [f"quant{n}" for n in network.QUANTIZERS]
MEAN_SECONDS = 8.4
WORDS = 3000
SCRIPTS = Path(__file__).parent / "release_2020"

SEVERAL = """
import json, sys
from resdavenet_vq.__main__ import app
for words in json.loads(sys.argv[1]):
    app(words, standalone_mode=False)
"""
"""Runs commands one after the other."""

BITRATE = """
import sys
from pathlib import Path
from resdavenet_vq.encode.features import LayerFeatures
from resdavenet_vq.evaluation import bitrate
with LayerFeatures(Path(sys.argv[1]), sys.argv[2]) as features:
    durations = dict(zip(features.ids, features.durations.tolist(), strict=True))
    rate = bitrate.measure(features, durations)
print(rate.plain, rate.run_length, rate.factored, rate.segment)
"""


def make_pairs(folder: Path, n: int, few: int) -> None:
    """`all.json` and `few.json`, lists of pairs in the layout of Places Audio, their files, and `wavs`, the recordings of the few."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, WORDS + 1)
    (folder / "wavs").mkdir()
    rows = []
    for i in range(n):
        seconds = float(np.clip(rng.normal(MEAN_SECONDS, 3), 1, 20))
        samples = 0.1 * rng.standard_normal(int(16000 * seconds), np.float32)
        samples *= np.repeat(rng.uniform(0, 1, len(samples) // 1600 + 1), 1600)[: len(samples)]
        soundfile.write(folder / f"{i}.wav", samples, 16000)
        pixels = Image.fromarray(rng.integers(0, 256, (256, 256, 3), np.uint8))
        pixels.filter(ImageFilter.GaussianBlur(2)).save(folder / f"{i}.jpg", quality=90)
        edges = np.arange(0, seconds - 0.1, 0.4).round(2)
        words = rng.choice(WORDS, len(edges), p=share / share.sum())
        spoken = " ".join(f"{t:.2f}__WORD{w}__{t + 0.35:.2f}" for t, w in zip(edges, words, strict=True))
        rows.append({"uttid": str(i), "wav": f"{i}.wav", "image": f"{i}.jpg", "text_alignment": spoken})
        if i < few:
            (folder / "wavs" / f"{i}.wav").hardlink_to(folder / f"{i}.wav")
    for name, some in (("all", rows), ("few", rows[:few])):
        (folder / f"{name}.json").write_text(json.dumps({"data": some}))


def make_model(folder: Path) -> None:
    """A model of random weights, with frames of recordings as codes: `model`, and as an experiment of 2020 `experiment`."""
    torch.manual_seed(0)
    model = DualEncoder(MODEL, network.QUANTIZERS).eval()
    wavs = sorted((folder / "wavs").iterdir())[:40]
    for n, layer in zip(network.QUANTIZERS, LAYERS, strict=True):
        quantizer = model.audio.quantizers[layer]
        frames = []
        for wav in wavs:
            logmel = torch.from_numpy(log_mel(soundfile.read(wav, dtype="float32")[0]).T.copy())[None]
            with torch.inference_mode():
                frames.append(model.audio(logmel, torch.tensor([logmel.shape[2]]), until=f"conv{n}").frames[0].T)
        frames = torch.cat(frames)
        codes = torch.randint(len(frames), (len(quantizer.codebook),))
        quantizer.codebook.copy_(frames[codes])
    checkpoint.save(folder / "model", model, {"lineage": "{2,3}"})
    audio, image = {}, {}
    for name, tensor in model.state_dict().items():
        branch, _, rest = name.partition(".")
        if branch == "image":
            image[rest.removeprefix("trunk.")] = tensor
        elif rest.startswith("stages.0."):
            audio[rest.replace("stages.0.0", "conv1").replace("stages.0.1", "bn1")] = tensor
        elif rest.startswith("stages."):
            audio["layer" + rest.removeprefix("stages.").replace("norm", "bn").replace("shortcut", "downsample")] = (
                tensor
            )
        elif rest.endswith("codebook"):
            audio[rest.removeprefix("quantizers.").replace("codebook", "_embedding.weight")] = tensor
    (folder / "experiment/models").mkdir(parents=True)
    torch.save(audio, folder / "experiment/models/best_audio_model.pth")
    torch.save(image, folder / "experiment/models/best_image_model.pth")


class Jobs:
    """The jobs in a folder, each as two functions: the release's way and the package's."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.n = folder, 0

    def release(self, script: str, *arguments: str) -> str:
        """A script of the release's way; its arguments are names in the folder."""
        return run([sys.executable, SCRIPTS / script, *(self.folder / argument for argument in arguments)])

    def package(self, command: str, *arguments: str | Path) -> str:
        """A command of the package."""
        return run([sys.executable, "-m", "resdavenet_vq", command, *arguments])

    def package_job(self, *commands: Sequence[str | Path]) -> str:
        """Several commands in one process, as a job of the workflow runs them."""
        return run([sys.executable, "-c", SEVERAL, json.dumps([list(map(str, words)) for words in commands])])

    def path(self, name: str) -> Path:
        """A path of the folder."""
        return self.folder / name

    def fresh(self, name: str) -> Path:
        """A path of the folder at which nothing is."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        return self.folder / name

    def prepare_release(self, name: str) -> None:
        """Two HDF5 files."""
        self.release("prepare.py", f"{name}.json", f"{name}_audio.h5", f"{name}_image.h5")

    def prepare(self, name: str) -> None:
        """A store."""
        files = ("--out", self.path(f"{name}.h5"), "--report", self.path(f"{name}.report.json"))
        self.package("prepare", "--manifest", self.path(f"{name}.json"), *files, "--overwrite")

    def retrieval_release(self) -> None:
        """Recalls."""
        self.release("retrieval.py", "experiment", "few_audio.h5", "few_image.h5", "retrieval_2020.json")

    def retrieval(self, recipe: str = "{}") -> None:
        """Embeddings, scores."""
        embeddings = self.path("embeddings.h5")
        files = ("--model", self.path("model"), "--data", self.path("few.h5"), "--embeddings", embeddings)
        self.package("encode-split", *files, "--recipe", recipe, "--overwrite")
        scoring = ("--lineage", "23", "--settings", json.dumps({"split": "few"}), "--out", self.path("retrieval.json"))
        self.package("score-retrieval", "--embeddings", embeddings, *scoring)

    def codes(self, name: str) -> Path:
        """A file of codes."""
        out = self.path(f"codes/{name}.h5")
        files = ("--model", self.path("model"), "--data", self.path(f"{name}.h5"), "--codes", out)
        self.package("encode-split", *files, "--overwrite")
        return out

    def words_release(self) -> None:
        """Tables of words."""
        self.release("words.py", "experiment", "all.json", "all_audio.h5", "words_2020")

    def words(self) -> None:
        """Codes, tables of words."""
        codes = self.codes("all")
        settings = {"split": "all", "held_out_split": "few", "min_occurrences": 1}
        files = ("--codes", codes, "--held-out", self.path("codes/few.h5"))
        what = ("--lineage", "23", "--settings", json.dumps(settings), "--recipe", "{}")
        self.package_job(
            *(
                ("detect-words", *files, *what, "--layer", layer, "--out", self.path(f"words/{layer}"))
                for layer in LAYERS
            )
        )

    def features_release(self) -> None:
        """Text files."""
        self.release("features.py", "experiment", "wavs", "text_2020")

    def features(self, *, text: bool) -> None:
        """A features file, or text files."""
        out = ("--text", self.fresh("text")) if text else ("--out", self.path("features.h5"), "--overwrite")
        what = ("--model", self.path("model"), "--wavs", self.path("wavs"), "--layers", ",".join(LAYERS))
        self.package("encode-folder", *what, *out)

    def bitrate_release(self) -> str:
        """Four numbers."""
        return self.release("bitrate.py", f"text_2020/{LAYERS[-1]}", "durations.json")

    def bitrate(self) -> str:
        """Four numbers."""
        return run([sys.executable, "-c", BITRATE, self.path("features.h5"), LAYERS[-1]])


def check_features(jobs: Jobs) -> None:
    """That features of the first pairs agree, to the half precision of the store."""
    store = Store(jobs.path("all.h5"))
    with h5py.File(jobs.path("all_audio.h5")) as f:
        for i in range(min(20, len(store))):
            expected = f["melspec"][i, :, : f["melspec_len"][i]].T
            np.testing.assert_allclose(store.logmel(i).astype(np.float32), expected, atol=0.04)


def check_recalls(jobs: Jobs) -> None:
    """That recalls agree where the package pads utterances as the release does; half precision changes a few ranks."""
    jobs.retrieval('{"context": "padded"}')
    expected = json.loads(jobs.path("retrieval_2020.json").read_text())
    scores = json.loads(jobs.path("retrieval.json").read_text())
    for direction in ("image_to_speech", "speech_to_image"):
        for k in (1, 5, 10):
            ours = scores[direction][f"recall_at_{k}"]
            np.testing.assert_allclose(
                ours, expected[f"{direction}_{k}"], atol=0.03 + 1.5 / scores[direction]["queries"]
            )


def check_words(jobs: Jobs) -> None:
    """That words are the same and their F1 nearly; features in half precision change one code in a hundred."""
    for layer in LAYERS:
        lines = (line.split() for line in jobs.path(f"words_2020/{layer}.txt").read_text().splitlines())
        expected = pd.Series({word: float(f1) for word, _, f1, *_ in lines})
        table = pd.read_csv(jobs.path(f"words/{layer}/words.csv"))
        ours = table[~table["is_silence"]].set_index("word")["f1"]
        assert set(ours.index) == set(expected.index), layer
        assert abs(ours - expected).mean() < 0.05, layer


def check_text(jobs: Jobs) -> None:
    """That nearly all frames of text files are equal, but for one unit of their last digit."""
    for layer in LAYERS:
        for path in sorted(jobs.path(f"text_2020/{layer}").iterdir())[:20]:
            ours, expected = np.loadtxt(jobs.path(f"text/{layer}/{path.name}")), np.loadtxt(path)
            assert (abs(ours - expected) < 0.0011).all(axis=-1).mean() > 0.9, path


def check_bitrates(jobs: Jobs) -> None:
    """That bitrates agree, though the release's symbols have three decimals."""
    expected, ours = (np.array(text.split(), float) for text in (jobs.bitrate_release(), jobs.bitrate()))
    np.testing.assert_allclose(ours, expected, rtol=0.01)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--few", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        jobs = Jobs(Path(name))
        make_pairs(jobs.folder, options.pairs, options.few)
        make_model(jobs.folder)
        for way in (jobs.prepare_release, jobs.prepare):
            way("few")
        jobs.codes("few")
        durations = {wav.stem: soundfile.info(wav).duration for wav in sorted(jobs.path("wavs").iterdir())}
        jobs.path("durations.json").write_text(json.dumps(durations))
        todo = {
            "prepare": (lambda: jobs.prepare_release("all"), lambda: jobs.prepare("all"), check_features),
            "retrieval": (jobs.retrieval_release, jobs.retrieval, check_recalls),
            "codes and words": (jobs.words_release, jobs.words, check_words),
            "features for ABX": (jobs.features_release, lambda: jobs.features(text=False), None),
            "features for ABX as text": (jobs.features_release, lambda: jobs.features(text=True), check_text),
            "bitrate": (jobs.bitrate_release, jobs.bitrate, check_bitrates),
        }
        rows = []
        for what, (release, package, check) in todo.items():
            rows.append(row(what, measure({"2020": release, "package": package}, options.repeats)))
            if check:
                check(jobs)
    sizes = {key: getattr(options, key) for key in ("pairs", "few", "repeats")}
    write("jobs", sizes | {"torch": torch.__version__, "threads": 1, "rows": rows})


if __name__ == "__main__":
    main()
