import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import oracles.training as oracle
import pytest
import soundfile
import torch
from PIL import Image
from training_child import MODEL, TRAINING, history, train, write_store

from resdavenet_vq import config
from resdavenet_vq.corpus.manifest import Manifest, Utterance
from resdavenet_vq.data import preparation
from resdavenet_vq.data.store import Store
from resdavenet_vq.encode.split import encode
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation import words
from resdavenet_vq.evaluation.abx import items
from resdavenet_vq.evaluation.availability import NO_PHONES, NO_WORDS
from resdavenet_vq.model import checkpoint
from resdavenet_vq.training import step
from resdavenet_vq.training.losses import TripletLosses
from resdavenet_vq.training.schedule import Schedule
from resdavenet_vq.training.state import Run, State


def test_what_a_training_leaves(stores, capsys):
    train(stores)
    rows = history(stores)
    card = json.loads((stores / "a" / "model" / "model.json").read_text())
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert card["lineage"] == "{2,3}"
    assert card["quantizers"] == [2, 3]
    best = max(rows, key=lambda row: row["mean_recall_at_10"])  # the first of equals
    assert card["epoch"] == best["epoch"]
    assert card["scores"]["mean_recall_at_10"] == pytest.approx(best["mean_recall_at_10"], rel=1e-5)
    for row in rows:
        parts = (*TripletLosses._fields, "quant2_commitment", "quant3_commitment")
        assert row["loss"] == pytest.approx(sum(row[k] for k in parts), rel=1e-4)
        assert row["learning_rate"] == pytest.approx(oracle.learning_rate(TRAINING.learning_rate, int(row["epoch"])))
        for n in (2, 3):
            assert 1 <= row[f"quant{n}_perplexity"] <= row[f"quant{n}_codes_used"] <= 12
            assert row[f"quant{n}_top_share"] >= 1 / 12
        assert 0 <= row["data_wait"] <= 1
        assert row["pairs_per_second"] > 0
    model, _ = checkpoint.load(stores / "a" / "model")
    assert model.quantizers == (2, 3)
    (state,) = (p for p in (stores / "a" / "state").iterdir() if p.is_dir())
    assert sorted(p.name for p in state.iterdir()) == ["identity.json", "tensorboard"]
    log = capsys.readouterr().err
    assert "{2,3}: starts on cpu" in log
    assert "epoch 3/3: loss " in log
    assert card["advice"].startswith("3 epochs are too few to tell whether R@10 was still rising")
    assert log.endswith(f"{{2,3}}: {card['advice']}\n")


def test_batches_of_data_workers_must_fit_into_shared_memory(stores, monkeypatch):
    """Two of each of two workers: four pairs of at most 69 frames in float16, or 64 images of the validation."""
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=3, f_frsize=1 << 18))
    frames = int(Store(stores / "train.h5").n_frames.max())
    needed = 2 * 2 * (4 * (40 * frames * 2 + 3 * 32**2) + 64 * 3 * 32**2)
    expected = (
        f"has 0 MiB left, less than the {-(-needed >> 20)} MiB of batches of 2 data workers; set training.workers to 0"
    )
    with pytest.raises(InputError, match=expected):
        train(stores, workers=2)
    train(stores, workers=0, epochs=1)


def test_learning_rate_table():
    table = json.loads((Path(__file__).parents[1] / "golden" / "losses" / "learning_rate_by_epoch.json").read_text())
    published = config.Training(split="t", validation_split="v")
    assert [Schedule(published, 1).learning_rate(e, 0) for e in range(20)] == pytest.approx(table, rel=1e-12)
    assert [oracle.learning_rate(2e-4, e) for e in range(20)] == pytest.approx(table)


def test_lineage_and_parent_must_fit(stores):
    with pytest.raises(InputError, match=r"starts from the model of \{2\}, but --parent is not given"):
        train(stores, lineage="{2}->{2,3}")
    with pytest.raises(InputError, match="starts from no parent, but --parent is "):
        train(stores, lineage="{2}", parent=stores)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_does_not_decode_is_named(stores, workers):
    write_store(stores / "train.h5", 18, 0, bad_image=9)
    with pytest.raises(InputError, match=r"^\S*train.h5: image 9.jpg .*prepare the split again$"):
        train(stores, workers=workers)


def test_the_first_of_equally_good_epochs_is_kept():
    run = Run.start(MODEL, (), config.Recipe(), TRAINING, None, torch.device("cpu"))
    name = "audio.stages.0.0.weight"
    for epoch, score in enumerate((0.5, 0.7, 0.7, 0.6), start=1):
        with torch.no_grad():
            run.model.state_dict()[name].fill_(epoch)
        run.finish_epoch({"mean_recall_at_10": score})
        run.next_epoch()
    assert run.best_epoch == 2
    assert (run.best[name] == 2).all()


def test_perplexity_is_that_of_the_epoch():
    run = Run.start(MODEL, (2,), config.Recipe(), TRAINING, None, torch.device("cpu"))
    counts = np.zeros((3, 12), np.int64)
    counts[0, :2], counts[1, 2:4], counts[2, 0] = 5, 5, 10
    for c in counts:
        parts = torch.ones(5, dtype=torch.float64)
        run.totals.add(step.StepLosses(torch.zeros(()), parts, {"quant2": torch.from_numpy(c)}), 4)
    run.totals = replace(run.totals, seconds=2.0, waited=1.0)
    row = run.totals.to_row()
    share = counts.sum(0) / counts.sum()
    assert row["quant2_perplexity"] == pytest.approx(np.exp(-sum(p * np.log(p) for p in share if p)))
    assert row["quant2_codes_used"] == 4
    assert row["quant2_top_share"] == 0.5
    assert row["loss"] == 5
    assert (row["pairs_per_second"], row["data_wait"]) == (6, 0.5)


@pytest.mark.parametrize("lineage", ["{}", "{2,3}"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite(stores, lineage, value, monkeypatch):
    write_store(stores / "train.h5", 18, 0, spoil=lambda i, features: i == 7 and np.put(features, 5 * 40 + 3, value))
    assert_stops(stores, monkeypatch, lineage=lineage)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize(
    ("where", "checkpoint_seconds"),
    [(where, seconds) for where in ("codebook", "weight", "gradient", "loss") for seconds in (0, 600)]
    + [("moment", 0)],
)
def test_numbers_that_turn_bad(stores, where, value, checkpoint_seconds, monkeypatch):
    """From step 3 on, so that there is something that must not be lost; also long before the next checkpoint."""
    original, start = step.step_losses, Run.start
    runs = []

    def kept_start(*args):
        runs.append(start(*args))
        return runs[0]

    def spoilt(model, batch, n, position, *rest):
        if position != (1, 3):
            return original(model, batch, n, position, *rest)
        if where == "codebook":
            model.audio.quantizers["quant2"].codebook[3, 4] = value
        if where == "weight":
            model.state_dict()["audio.stages.2.0.norm1.weight"][1] = value
        if where == "moment":
            (run,) = runs
            run.optimizer.state[model.audio.stages[1][0].conv1.weight]["exp_avg_sq"][0, 0, 0, 0] = value
        losses = original(model, batch, n, position, *rest)
        if where == "gradient":
            losses.total.register_hook(lambda g: g * value)
        return losses._replace(total=losses.total * value, parts=losses.parts * value) if where == "loss" else losses

    monkeypatch.setattr(Run, "start", kept_start)
    if checkpoint_seconds:  # an epoch of 15 steps
        write_store(stores / "train.h5", 60, 0)
    assert_stops(stores, monkeypatch, spoilt, 0 if checkpoint_seconds else 3, checkpoint_seconds=checkpoint_seconds)


def assert_stops(stores, monkeypatch, step_losses=step.step_losses, saved=None, **options):
    count, healthy = [0], []
    save = State.save

    def counted(*args):
        count[0] += 1
        return step_losses(*args)

    def watched(self, state):
        healthy.append(all(x.isfinite().all() for x in state["model"].values()))
        save(self, state)

    monkeypatch.setattr(step, "step_losses", counted)
    monkeypatch.setattr(State, "save", watched)
    with pytest.raises(InputError, match=r"training diverged at epoch 1, step .*Lower training.learning_rate"):
        train(stores, **options)
    assert count[0] <= 10
    assert all(healthy)
    assert saved is None or len(healthy) == saved
    assert not any((stores / "a" / "model").iterdir())


def test_bad_numbers_are_found_within_ten_steps_without_checkpoints(stores, monkeypatch):
    write_store(stores / "train.h5", 60, 0, spoil=lambda i, f: np.copyto(f, np.nan))
    assert_stops(stores, monkeypatch, lineage="{}", checkpoint_seconds=600)


@pytest.mark.parametrize("lineage", ["{}", "{1,2,3,4,5}"])
@pytest.mark.parametrize(
    ("utterances", "pairs", "frames"),
    [(1, 1, (1, 2)), (1, 1, (40, 41)), (2, 2, (1, 2)), (3, 3, (2048, 2049)), (6, 5, (1, 90)), (10, 9, (1, 90))],
)
def test_degenerate_sizes(stores, utterances, pairs, frames, lineage):
    """In batches of 4: 5 and 9 pairs leave a single one for the last."""
    path = write_store(stores / "train.h5", utterances, 0, frames)
    write_store(stores / "val.h5", utterances, 1, frames)
    assert (Store(path).image_index >= 0).sum() == pairs
    train(stores, epochs=1, lineage=lineage)
    assert np.isfinite(list(history(stores)[0].values())).all()


SAMPLES = {"one frame": 100, "almost two": 159, "whole": 160 * 2047, "cut": 160 * 2048, "cut by more": 160 * 2300}


@pytest.mark.parametrize("names", [["one frame"], ["cut"], ["almost two", "whole", "cut", "cut by more"]])
def test_shortest_and_longest_audio_from_files_to_codes(tmp_path, names):
    """2,049 frames are cut to the 2,048 of `preparation.max_frames`, and counted. Nothing has an alignment."""
    random, utterances = np.random.default_rng(0), []
    for name in names:
        wav, image = tmp_path / f"{name}.wav", tmp_path / f"{name}.jpg"
        soundfile.write(wav, random.normal(0, 0.1, SAMPLES[name]), 16000)
        Image.fromarray(random.integers(0, 256, (40, 44, 3), np.uint8)).save(image)
        utterances.append(Utterance(name, wav, image, image.name, None, None, None, None))
    for split in ("train", "val"):
        preparation.prepare(
            Manifest(utterances, [], {}), config.Preparation(), tmp_path / f"{split}.h5", tmp_path / f"{split}.json", 1
        )
    report = json.loads((tmp_path / "train.json").read_text())
    assert report["cut"] == [name for name in names if name.startswith("cut")]
    frames = [min(2048, 1 + SAMPLES[name] // 160) for name in names]
    assert Store(tmp_path / "train.h5").n_frames.tolist() == frames
    assert report["frames"] == sum(frames)
    train(tmp_path, epochs=1, lineage="{1,5}")
    encode(tmp_path / "a" / "model", tmp_path / "val.h5", codes=tmp_path / "codes.h5")
    with h5py.File(tmp_path / "codes.h5") as f:
        for layer, stride in (("quant1", 1), ("quant5", 16)):
            assert np.diff(f[layer]["offsets"]).tolist() == [max(1, n // stride) for n in frames]
    items.make(tmp_path / "val.h5", "triphone", config.Items(), tmp_path / "a.item", tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text())["not_available"] == NO_PHONES
    settings = config.Words(split="val", held_out_split="val")
    scores = words.score(
        *[tmp_path / "codes.h5"] * 2, "quant1", settings, tmp_path / "w", frame_time="centred", lineage="{1,5}"
    )
    assert scores["not_available"] == {"published": NO_WORDS, "held_out": NO_WORDS}
    with pytest.raises(InputError, match=r"quant2 is off in this model \(on: quant1, quant5\)"):
        encode(tmp_path / "a" / "model", tmp_path / "val.h5", features=tmp_path / "f.h5", feature_layers=["quant2"])


def test_each_switch_of_the_recipe_changes_the_result(stores):
    """But a first stage has no parent whose activations initialize new codebooks."""
    losses = {}
    for switch in ({}, {"semi_hard": "masked"}, {"jitter": "centred"}, {"pad_value": "floor"}):
        train(stores, str(switch), epochs=1, recipe=config.Recipe(**switch))
        losses[str(switch)] = history(stores, str(switch))[0]["loss"]
    assert len(set(losses.values())) == 4
    train(stores, epochs=1, recipe=config.Recipe(new_codebooks="parent_activations"))
    assert history(stores)[0]["loss"] == losses["{}"]
