"""How processor time and memory grow with a corpus: whole commands over 1, 4 and 16 times the data.

    PYTHONPATH=. OMP_NUM_THREADS=1 python benchmarks/growth.py [--utterances 1500]
    ... growth.py --utterances 375 --stages prepare encode-features make-items score-abx --record score-abx

Every command runs in processes of its own, start included; times are those of all its processes, memory is the largest
of the command's own process, and of any worker. Stages need what those before them leave; the results of stages that are
not recorded stay as they are. The second line is for ABX, which costs ten times as much as all others.

The corpus is made up: 1.5 to 2.5 s of noise, 6 to 10 words by Zipf's law with three phones each, 25 utterances a
speaker, two captions an image of 64 pixels. It has 50 wav and 50 image files, to which the rows have links, so that it
takes no room. The model has 10 channels at most.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from measuring import write
from PIL import Image, ImageFilter

FILES, WORDS, PHONES, PER_SPEAKER = 50, 2000, 30, 25
PR_SET_CHILD_SUBREAPER = 36
ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results/growth.json"

READ = "import sys; from pathlib import Path; from resdavenet_vq.corpus import places; places.read(Path('corpus/rows.jsonl'))"
DATA, SYSTEM = "growth/data/test.h5", "growth/none-2"
MODEL, CODES, FEATURES = (f"{SYSTEM}/{name}" for name in ("model", "codes/test.h5", "features/test.h5"))
ABX, WORDS_OF = f"{SYSTEM}/abx/test/quant2.json", f"{SYSTEM}/words/quant2/test"
COMMANDS = {
    "prepare": f"prepare --manifest corpus/rows.jsonl --report growth/data/test.report.json --out {DATA}",
    "encode-embeddings": f"encode-split --model {MODEL} --data {DATA} --embeddings {SYSTEM}/embeddings/test.h5",
    "encode-codes": f"encode-split --model {MODEL} --data {DATA} --codes {CODES}",
    "encode-features": f"encode-split --model {MODEL} --data {DATA} --layers quant2 --features {FEATURES}",
    "detect-words": f"detect-words --codes {CODES} --held-out {CODES} --layer quant2 --lineage none-2 --recipe {{}} --out {WORDS_OF}"
    """ --settings '{"split": "test", "held_out_split": "test"}'""",
    "make-items": f"make-items --data {DATA} --settings {{}} --out test.item --report items.json",
    "score-abx": f"score-abx --features {FEATURES} --items test.item --layer quant2 --lineage none-2 --split test --settings {{}}"
    f" --out {ABX}",
    "write-report": "write-report --results growth --systems none-2 --split test --settings {} --out growth/report",
}
SCORES = f"{ABX} {WORDS_OF}/summary.json"
TABLES = {
    "summarize": f"summarize {SCORES} --corpus growth --out growth/scores.csv --summary growth/summary.csv",
    "compare": f"compare growth/scores.csv {SCORES} --out growth/comparison.csv --differences growth/differences.csv",
}
"""What the report needs besides, not measured: commands over scores alone."""

STAGES = ("read", *COMMANDS)


def make_media(folder: Path) -> list[float]:
    """Wav and image files, and the seconds of each wav."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    lengths = rng.integers(24_000, 40_000, FILES)
    for i, n in enumerate(lengths.tolist()):
        soundfile.write(folder / f"{i}.wav", 0.1 * rng.normal(size=n), 16_000)
        pixels = rng.integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(2)).save(folder / f"{i}.jpg", quality=90)
    return (lengths / 16_000).tolist()


def make_corpus(folder: Path, media: Path, seconds: list[float], n: int) -> None:
    """A list of `n` rows in the layout of Places Audio, in `folder`, with links to media."""
    rng = np.random.default_rng(1)
    share = 1 / np.arange(1, WORDS + 1)
    phones = rng.integers(PHONES, size=(WORDS, 3)).tolist()
    (folder / "files").mkdir(parents=True)
    with (folder / "rows.jsonl").open("w") as rows:
        for i in range(n):
            (folder / f"files/{i}.wav").symlink_to(media / f"{i % FILES}.wav")
            if i % 2 == 0:
                (folder / f"files/{i}.jpg").symlink_to(media / f"{i % FILES}.jpg")
            words = rng.choice(WORDS, int(4 * seconds[i % FILES]), p=share / share.sum()).tolist()
            tokens = [f"{j / 4}__WORD{word}__{j / 4 + 0.25}" for j, word in enumerate(words)]
            starts = np.linspace(0, len(words) / 4, 3 * len(words) + 1).round(4).tolist()
            labels = [f"P{phone}" for word in words for phone in phones[word]]
            tier = [f"{a}__{label}__{b}" for a, b, label in zip(starts, starts[1:], labels, strict=False)]
            row = {
                "wav": f"files/{i}.wav",
                "image": f"files/{i - i % 2}.jpg",
                "asr_text": " ".join(f"word{word}" for word in words),
                "text_alignment": " ".join(tokens),
                "phone_alignment": " ".join(tier),
                "speaker": str(i // PER_SPEAKER),
            }
            rows.write(json.dumps(row) + "\n")


def make_model(folder: Path) -> None:
    """A small model with one quantizer, untrained."""
    from resdavenet_vq.config import AudioModel, ImageModel, Model, QuantizerModel
    from resdavenet_vq.model import checkpoint
    from resdavenet_vq.model.dual_encoder import DualEncoder

    settings = Model(
        audio=AudioModel(widths=(4, 6, 6, 8, 10), blocks_per_stage=1),
        image=ImageModel(architecture="thin_resnet", widths=(4, 4, 4, 4), crop=48, resize=56),
        quantizer=QuantizerModel(codebook_size=256, init_nonnegative=True),
    )
    checkpoint.save(folder, DualEncoder(settings, (2,)), {"lineage": "{}->{2}"})


def arguments(stage: str) -> list[str]:
    """The program of a stage."""
    if stage == "read":
        return ["-c", READ]
    return ["-m", "resdavenet_vq", *shlex.split((COMMANDS | TABLES)[stage])]


def measured(stage: str, folder: Path) -> dict[str, float]:
    """Processor seconds of a stage with all its processes, and the largest memory of its own and of any other, in MB."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    log = folder / "log.txt"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, *arguments(stage)], cwd=folder, env=environment, stdout=out, stderr=out
        )
    _, status, own = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{stage}: {log.read_text()[-2000:]}")
    seconds, others = own.ru_utime + own.ru_stime, 0
    while True:  # the server of workers may end after the command; this process is its heir
        try:
            *_, of_other = os.wait4(-1, 0)
        except ChildProcessError:
            break
        seconds, others = seconds + of_other.ru_utime + of_other.ru_stime, max(others, of_other.ru_maxrss)
    return {"cpu_s": round(seconds, 2), "peak_mb": round(own.ru_maxrss / 1024, 1), "others_mb": round(others / 1024, 1)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--utterances", type=int, default=1500)
    parser.add_argument("--stages", nargs="*", default=list(STAGES), choices=STAGES)
    parser.add_argument(
        "--record", nargs="*", default=None, choices=STAGES, help="those of the stages that are recorded"
    )
    parser.add_argument("--times", nargs="*", type=int, default=[1, 4, 16])
    options = parser.parse_args()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    results = []
    with tempfile.TemporaryDirectory() as name:
        media = Path(name) / "media"
        seconds = make_media(media)
        for times in options.times:
            n, folder = times * options.utterances, Path(name) / str(times)
            make_corpus(folder / "corpus", media, seconds, n)
            subprocess.run(
                [sys.executable, "-c", f"import growth; growth.make_model(growth.Path({str(folder / MODEL)!r}))"],
                check=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)])},
            )
            for stage in options.stages:
                if stage == "write-report":
                    for command in TABLES:
                        measured(command, folder)
                results.append({"stage": stage, "utterances": n, **measured(stage, folder)})
                print(results[-1], flush=True)
            shutil.rmtree(folder)
    recorded = options.stages if options.record is None else options.record
    before = json.loads(RESULTS.read_text(encoding="utf-8"))["results"] if RESULTS.exists() else []
    kept = [row for row in before if row["stage"] not in recorded]
    rows = kept + [row for row in results if row["stage"] in recorded]
    write("growth", {"results": sorted(rows, key=lambda row: (STAGES.index(row["stage"]), row["utterances"]))})


if __name__ == "__main__":
    main()
