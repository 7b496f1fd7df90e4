import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import oracles.training as oracle
import pytest
import torch
from training_child import MODEL, TRAINING, history, train, write_store

from resdavenet_vq import config
from resdavenet_vq.errors import InputError
from resdavenet_vq.model import checkpoint
from resdavenet_vq.training import step
from resdavenet_vq.training.losses import TripletLosses
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


def test_learning_rate_table():
    table = json.loads((Path(__file__).parents[1] / "golden" / "losses" / "learning_rate_by_epoch.json").read_text())
    published = config.Training(split="t", validation_split="v")
    assert [step.learning_rate(published, e) for e in range(20)] == pytest.approx(table, rel=1e-12)
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


@pytest.mark.parametrize("where", ["codebook", "weight", "gradient", "loss"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_numbers_that_turn_bad(stores, where, value, monkeypatch):
    """From step 3 on, so that there is something that must not be lost."""
    original = step.step_losses

    def spoilt(model, batch, n, position, *rest):
        if position != (1, 3):
            return original(model, batch, n, position, *rest)
        if where == "codebook":
            model.audio.quantizers["quant2"].codebook[3, 4] = value
        if where == "weight":
            model.state_dict()["audio.stages.2.0.norm1.weight"][1] = value
        losses = original(model, batch, n, position, *rest)
        if where == "gradient":
            losses.total.register_hook(lambda g: g * value)
        return losses._replace(total=losses.total * value, parts=losses.parts * value) if where == "loss" else losses

    assert_stops(stores, monkeypatch, spoilt, saved=3)


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
    assert not (stores / "a" / "model").exists()


def test_bad_numbers_are_found_within_ten_steps_without_checkpoints(stores, monkeypatch):
    write_store(stores / "train.h5", 60, 0, spoil=lambda i, f: np.copyto(f, np.nan))
    assert_stops(stores, monkeypatch, lineage="{}", checkpoint_seconds=600)


@pytest.mark.parametrize(
    ("pairs", "frames"), [(1, (1, 2)), (1, (40, 41)), (2, (1, 2)), (3, (2048, 2049)), (10, (1, 90))]
)
def test_degenerate_sizes(stores, pairs, frames):
    write_store(stores / "train.h5", pairs, 0, frames)
    write_store(stores / "val.h5", pairs, 1, frames)
    train(stores, epochs=1, lineage="{1,2,3,4,5}")
    assert np.isfinite(list(history(stores)[0].values())).all()


def test_each_switch_of_the_recipe_changes_the_result(stores):
    """But a first stage has no parent whose activations initialize new codebooks."""
    losses = {}
    for switch in ({}, {"semi_hard": "masked"}, {"jitter": "centred"}, {"pad_value": "floor"}):
        train(stores, str(switch), epochs=1, recipe=config.Recipe(**switch))
        losses[str(switch)] = history(stores, str(switch))[0]["loss"]
    assert len(set(losses.values())) == 4
    train(stores, epochs=1, recipe=config.Recipe(new_codebooks="parent_activations"))
    assert history(stores)[0]["loss"] == losses["{}"]
