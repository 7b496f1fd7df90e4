"""A small results folder as a run leaves it: audio, embeddings, codes, histories and ABX errors are made up."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from encoded import ORIGIN, relabelled
from evaluation.made_up import maps_file
from PIL import Image

from resdavenet_vq import config
from resdavenet_vq.corpus.manifest import Interval, Manifest, Utterance
from resdavenet_vq.data.preparation import prepare
from resdavenet_vq.encode.codes import add_codes, create_codes
from resdavenet_vq.encode.embeddings import Pairs, create_embeddings
from resdavenet_vq.evaluation import comparison, retrieval_files, score_files, summary
from resdavenet_vq.evaluation import words as word_detection
from resdavenet_vq.evaluation.availability import NO_PHONES
from resdavenet_vq.files import read_json, write_csv, write_json

NASTY = '<script>alert("x")</script><img src=x onerror="window.canary = 1"> & "quotes"'
LINEAGES = ("{}", "{}->{2}", "{}->{2}->{2,3}")
FOLDERS = ("none", "none-2", "none-2-23")
LAYERS = (("none-2", "quant2", 0.02), ("none-2-23", "quant2", 0.02), ("none-2-23", "quant3", 0.04))
"""Folder, name and frame period of every layer of codes of a model."""

REFERENCES = (
    ("kmeans", "k-means of log-mel", {"quant2": 0.02, "quant3": 0.04}),
    ("kmeans-k64", "k-means of log-mel, 64 codes", {"quant2": 0.02}),
    ("external-hubert", "hubert", {"quant2": 0.02}),
)
"""Folder, notation, and layers of codes with their frame periods, of what models are compared with."""

SYSTEMS = ("baseline", "baseline-normalized", "kmeans", "kmeans-k64", *FOLDERS, "external-hubert")
"""All folders, in the order of a report."""


def utterances(folder, n):
    """Utterances of noise with words and nasty texts, every third without phones, and two captions to an image."""
    rng = np.random.default_rng(1)
    rows = []
    for i in range(n):
        seconds = 0.6 + 0.05 * i
        wav, image = folder / f"{i}.wav", folder / f"{i // 2}.png"
        soundfile.write(wav, 0.1 * rng.standard_normal(int(16000 * seconds)), 16000)
        Image.new("RGB", (48, 32), (20 * i % 255, 90, 160)).save(image)
        words = (Interval(0.1, 0.3, "RED"), Interval(0.3, seconds - 0.1, ("TREE<b>", "NULL", "BOAT", "LAKE")[i % 4]))
        phones = None if i % 3 == 0 else (Interval(0.1, 0.2, "R"), Interval(0.2, 0.3, "EH"))
        speaker, text = NASTY if i % 2 else "anna", f"{NASTY} red tree {i}"
        rows.append(Utterance(f"u{i}<i>", wav, image, f"image {i // 2}", speaker, text, words, phones))
    return rows


def without(rows, *names):
    """The utterances without some of `words`, `phones`, `text`, `speaker` and `image`."""
    none = dict.fromkeys(names) | ({"image_id": None} if "image" in names else {})
    return [replace(u, **none) for u in rows]


def write_codes(path, rows, layers, origin=ORIGIN):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(2)
    with create_codes(path, [u.id for u in rows], (u.to_dict() for u in rows), origin) as file:
        for layer, period in layers.items():
            lengths = [1 + int(soundfile.info(u.wav).frames / 16000 / period) for u in rows]
            codes = [np.repeat(rng.integers(0, 1024, length), 2)[:length] for length in lengths]
            out = add_codes(file, layer, np.zeros((1024, 4), np.float32), np.array(lengths), period)
            out.write_each(range(len(rows)), codes)


def write_maps(path, rows, image_ids, index, origin=ORIGIN):
    """Of 3 rows and 2 columns, whose likeness grows with time at row 2, column 1 (from 0), and is 0 elsewhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lengths = [1 + int(soundfile.info(u.wav).frames / 16000 / 0.16) for u in rows]
    frames = [np.pad(np.arange(1, n + 1)[:, None], ((0, 0), (0, 3))) for n in lengths]
    cells = np.zeros((len(image_ids), 3, 2, 4))
    cells[:, 2, 1, 0] = 1
    maps_file(path, cells, frames, index, [u.id for u in rows], image_ids, origin=origin)


def score_words(folder, layers, lineage):
    codes, settings = folder / "codes/test.h5", config.Words(split="test", held_out_split="test")
    for layer in layers:
        out = folder / f"words/{layer}/test"
        word_detection.score(codes, codes, layer, settings, out, frame_time="published", lineage=lineage)


def phone_errors():
    """Of four phones, one of which looks like HTML; the first pair was never compared."""
    pairs = [(a, b) for a in ("R", "EH", "<i>", "NA") for b in ("R", "EH", "<i>", "NA") if a != b]
    for i, (a, b) in enumerate(pairs):
        errors = {"within_error": 3.5 * i if i else "", "within_cells": i, "across_error": 2.0 * i, "across_cells": i}
        yield {"phone_ax": a, "phone_b": b} | errors


def origin_of(number, lineage):
    """Of the files of one model."""
    return replace(ORIGIN, model=f"{number}" * 64, lineage=lineage)


def build(results: Path, rows: list[Utterance]) -> None:
    """Writes everything that the report reads, for three lineages, the first without a quantizer, and for references.

    What the utterances lack is lacking in the scores.
    """
    rng = np.random.default_rng(3)
    data = results / "data"
    prepare(Manifest(rows), config.Preparation(), data / "test.h5", data / "test.report.json", workers=1)
    image_ids = list(dict.fromkeys(u.image_id for u in rows if u.image_id))
    index = np.array([image_ids.index(u.image_id) if u.image_id else -1 for u in rows])
    has_phones = any(u.phones for u in rows)
    for number, (lineage, name) in enumerate(zip(LINEAGES, FOLDERS, strict=True)):
        folder, layers = results / name, {layer: period for of, layer, period in LAYERS if of == name}
        embeddings = folder / "embeddings/test.h5"
        image = rng.standard_normal((len(image_ids), 16))
        embeddings.parent.mkdir(parents=True)
        pairs = Pairs([u.id for u in rows], image_ids, index, image_branch=True)
        origin = origin_of(number, lineage)
        with create_embeddings(embeddings, pairs, 16, origin) as file:
            file.write_images(range(len(image)), image)
            noise = (3 - number) * 0.4 * rng.standard_normal((len(rows), 16))
            file.write_speech(range(len(rows)), noise + (image[index] if image_ids else 0))
        score = folder / "retrieval/test.json"
        retrieval_files.score(embeddings, config.Retrieval(split="test"), score, lineage=lineage)
        write_history(folder / "model/history.csv", number, layers)
        write_maps(folder / "maps/test.h5", rows, image_ids, index, origin)
        if layers:
            write_codes(folder / "codes/test.h5", rows, layers, origin)
        score_words(folder, layers, lineage)
        for layer in ("conv2", *layers):
            errors = list(phone_errors())
            write_csv(folder / f"abx/test/{layer}.phones.csv", list(errors[0]), errors if has_phones else [])
            write_abx(folder, abx(origin, layer, 9 - number, layer in layers), has_phones=has_phones)
    for name, notation, error in (("baseline", "raw log-mel", 14), ("baseline-normalized", "normalized log-mel", 10)):
        origin = replace(ORIGIN, model="", lineage=notation)
        write_abx(results / name, abx(origin, "logmel", error, quantized=False), has_phones=has_phones)
    for number, (name, notation, layers) in enumerate(REFERENCES, 4):
        origin = origin_of(number, notation)
        write_codes(results / name / "codes/test.h5", rows, layers, origin)
        score_words(results / name, layers, notation)
        for layer in layers:
            error = abx(origin, layer, 16 - number, quantized=True, bits=100.0 * number)
            write_abx(results / name, error, has_phones=has_phones)
    summarize(results)


def write_history(path, number, layers):
    path.parent.mkdir()
    epoch = np.arange(1, 7)
    recall = 0.05 * number + 0.12 * epoch - 0.002 * epoch**2
    columns = {"epoch": epoch, "loss": 4 / (epoch + number) ** 0.5, "mean_recall_at_10": recall}
    columns |= {"learning_rate": 2e-4 * 0.95**epoch, "pairs_per_second": 90.0 + epoch, "data_wait": 0.02 * epoch}
    columns |= {"seconds": 600.0 * (number + 1) + epoch}
    for layer in layers:
        columns[f"{layer}_commitment"] = 0.3 / epoch
        columns[f"{layer}_perplexity"] = 40.0 * epoch + 90 * number / int(layer[-1])
        columns[f"{layer}_codes_used"] = 60 * epoch + 70 * int(layer[-1])
        columns[f"{layer}_top_share"] = 0.2 / epoch
    pd.DataFrame(columns).to_csv(path, index=False)


def summarize(results: Path) -> None:
    patterns = ("*/retrieval/*.json", "*/abx/*/*.json", "*/words/*/*/summary.json")
    scores = [file for pattern in patterns for file in sorted(results.glob(pattern))]
    score_files.summarize(scores, results.name, {}, results / "scores.csv", results / "summary.csv")
    comparison.write(results / "scores.csv", [], {}, results / "comparison.csv", results / "differences.csv")


def with_intervals(results: Path) -> None:
    """Puts intervals into the tables, a tenth of the score to either side, and writes differences of some systems."""
    tables = {name: pd.read_csv(results / f"{name}.csv", keep_default_na=False) for name in ("scores", "comparison")}
    for table in tables.values():
        value = pd.to_numeric(table["value" if "value" in table else "mean"])
        table["low"], table["high"] = value - 0.1 * value.abs(), value + 0.1 * value.abs()
    for name, table in tables.items():
        table.to_csv(results / f"{name}.csv", index=False)
    write_csv(results / "differences.csv", list(DIFFERENCES[0]), DIFFERENCES)


def _difference(task, layer, condition, score, first, second, value, low, high):
    names = {"corpus": "spoken_scenes", "task": task, "layer": layer, "split": "test", "condition": condition}
    return names | {"score": score, "first": first, "second": second, "value": value, "low": low, "high": high}


_LAST, _KMEANS = "{}->{2}->{2,3}", "k-means of log-mel"
DIFFERENCES = [
    _difference("words", "quant3", "held_out", "words_above_f1", _LAST, _KMEANS, 24.1, 19.25, 29.0),
    _difference("words", "quant2", "held_out", "words_above_f1", _KMEANS, _LAST, 2.0, -1.0, 5.0),
    _difference("abx", "quant2", "across", "error", _LAST, _KMEANS, 1.3, 0.4, 2.2),
    _difference("abx", "conv2", "across", "error", _LAST, "normalized log-mel", -1.5, -2.5, -0.5),
    _difference("retrieval", "", "mean", "recall_at_10", _LAST, "{}->{2}", 0.041, 0.003, 0.08),
    _difference("retrieval", "", "mean", "recall_at_10", "{}->{2}", "{}", 0.01, -0.03, 0.05),
]
"""Rows of differences.csv: some are clear, others not, and one has the clusters first."""


def copy_as_seed(results, name, seed):
    """A copy of a lineage's folder as that of another seed, with scores of another model."""
    folder = shutil.copytree(results / name, results / f"{name}-seed{seed}")
    for file in (*folder.glob("retrieval/*.json"), *folder.glob("abx/*/*.json"), *folder.glob("words/*/*/*.json")):
        value = read_json(file)
        write_json(file, value | {"origin": value["origin"] | {"model": f"{seed}" * 64}})
    for path in folder.glob("*/*.h5"):
        relabelled(path, model=f"{seed}" * 64)


def limit_best(results, n):
    """Makes the mean F1 one of the best n words."""
    for file in results.glob("*/words/*/*/summary.json"):
        write_json(file, read_json(file) | {"best": n})


def write_one_score(results, **score):
    """The tables of scores with one row."""
    row = dict.fromkeys(summary.COLUMNS, "") | {"corpus": results.name, "lineage": "{}->{2}", "value": "0.5"} | score
    for name in ("scores.csv", "summary.csv"):
        write_csv(results / name, list(row), [row])
    comparison.write(results / "scores.csv", [], {}, results / "comparison.csv", results / "differences.csv")


def write_abx(folder, value, *, has_phones):
    """A score of ABX, or why there is none."""
    none = {"within_error": None, "across_error": None, "items": 0, "items_used": 0, "items_dropped": {}}
    none |= {"intervals": {}, "not_available": NO_PHONES}
    write_json(folder / f"abx/test/{value['layer']}.json", value if has_phones else value | none)


def abx(origin, layer, within, quantized, bits=412.4):
    bitrate = {"plain": bits, "run_length": 310.2, "factored": 330.0, "segment": 250.0, "units_per_second": 31.0}
    return {
        "lineage": origin.lineage,
        "origin": origin.to_dict(),
        "layer": layer,
        "split": "test",
        "representation": "code vectors" if quantized else "log-mel",
        "distance": "angular, DTW",
        "frame_period": {"logmel": 0.01, "quant3": 0.04}.get(layer, 0.02),
        "within_error": float(within),
        "across_error": None if layer == "quant3" else within * 1.4,
        "items": 600,
        "items_used": 580,
        "items_dropped": {"shorter than a frame of the slowest layer": 20},
        "intervals": {"abx|test|within|error": [0.9 * within, 1.1 * within]},
        "bitrate": bitrate | {"rows": 9, "runs": 5, "symbols": 4, "duration": 3.0} if quantized else None,
    }
