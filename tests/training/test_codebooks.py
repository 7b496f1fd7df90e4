"""Restart of dead codes, and initialization of new codebooks from the parent's activations."""

import json

import numpy as np
import pytest
import torch
from training_child import TRAINING, Child, history, train

from resdavenet_vq import config
from resdavenet_vq.data.store import Store
from resdavenet_vq.model import checkpoint
from resdavenet_vq.model.quantizer import Quantizer, nearest
from resdavenet_vq.training import codebooks
from resdavenet_vq.training.state import Run
from resdavenet_vq.training.step import generator, quantizers_of

K, C = 12, 5
LIVELY = config.Recipe(dead_codes="restart", new_codebooks="parent_activations")


def quantizer(dead=(2, 7, 8)):
    torch.manual_seed(0)
    q = Quantizer(C, K, config.QuantizerModel())
    q.cluster_size[:] = torch.arange(K) + 4.0
    q.cluster_size[list(dead)] = 0.01
    return q


def frames():
    x = torch.arange(3 * C * 6, dtype=torch.float32).reshape(3, C, 6)
    return x, torch.tensor([6, 1, 3])


def test_a_code_is_live_from_an_eighth_of_the_average_on():
    q = quantizer()
    q.cluster_size[:] = 8.0
    q.cluster_size[0], q.cluster_size[1] = 0.8, 0.9
    assert codebooks.live(q).tolist() == [False] + [True] * (K - 1)
    counts = codebooks.live_codes({"quant2": q, "quant3": quantizer()})
    assert counts == {"quant2_live_codes": 11, "quant3_live_codes": 9}


def test_restarts_come_every_so_many_steps_but_not_at_the_very_beginning():
    due = [(e, s) for e in (1, 2) for s in range(60) if codebooks.restart_is_due((e, s))]
    assert due == [(1, 25), (1, 50), (2, 0), (2, 25), (2, 50)]


def restart(q, x, n_frames, seed=1):
    codebooks.restart_dead_codes(q, x, n_frames, len(x), torch.Generator().manual_seed(seed))
    return q.codebook


def test_dead_codes_move_to_valid_frames_of_the_batch_with_size_and_sum():
    q, (x, n_frames) = quantizer(), frames()
    before = {name: v.clone() for name, v in q.named_buffers()}
    mean = q.cluster_size.mean()
    restart(q, x, n_frames)
    valid = torch.cat([x[i, :, :n].T for i, n in enumerate(n_frames)])
    dead, others = [2, 7, 8], [k for k in range(K) if k not in (2, 7, 8)]
    assert all((valid == row).all(dim=1).any() for row in q.codebook[dead])
    assert len(q.codebook[dead].unique(dim=0)) == 3
    assert torch.equal(q.cluster_size[dead], mean.expand(3))
    torch.testing.assert_close(q.embedding_sum[dead], mean * q.codebook[dead])
    for name, v in q.named_buffers():
        assert torch.equal(v[others], before[name][others])
    assert codebooks.live(q).all()
    assert nearest(q.codebook[dead], q.codebook).tolist() == dead  # a restarted code is that of its frame


@pytest.mark.parametrize(("dead", "factor"), [((), 1.0), ((2, 7, 8), torch.nan)])
def test_no_dead_code_and_frames_that_are_not_finite_move_nothing(dead, factor):
    q, (x, n_frames) = quantizer(dead), frames()
    before = {name: v.clone() for name, v in q.named_buffers()}
    restart(q, x * factor, n_frames)
    assert all(torch.equal(v, before[name]) for name, v in q.named_buffers())


def test_the_draw_follows_its_generator():
    first, again, other = (restart(quantizer(), *frames(), seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_codebook_larger_than_the_batch_takes_frames_twice():
    q, (x, n_frames) = quantizer(dead=range(11)), frames()
    assert (restart(q, x[1:2], n_frames[1:2])[:11] == x[1, :, 0]).all()


def start(parent, model, seed=1):
    run = Run.start(model, (2, 3), LIVELY, TRAINING, parent, torch.device("cpu"))
    store = Store(parent.parents[1] / "train.h5")
    codebooks.initialize_from_parent(quantizers_of(run.model), parent, store, generator("codebooks", seed))
    return quantizers_of(run.model)


def test_new_codebooks_are_frames_of_the_parent(parent, quick):
    quantizers = start(parent, quick)
    model, _ = checkpoint.load(parent)
    assert torch.equal(quantizers["quant2"].codebook, model.audio.quantizers["quant2"].codebook)  # the parent has it
    store = Store(parent.parents[1] / "train.h5")
    frames_of_parent = []
    with torch.inference_mode():
        for i in np.flatnonzero(store.image_index >= 0).tolist():
            logmel = torch.from_numpy(store.logmel(i).astype(np.float32)).T[None]
            layer = model.audio(logmel, torch.tensor([logmel.shape[2]])).layers["conv3"]
            frames_of_parent.append(layer.vectors[0, :, : layer.n_frames[0]].T)
    q = quantizers["quant3"]
    assert (q.codebook[:, None] - torch.cat(frames_of_parent)).abs().amax(dim=2).amin(dim=1).max() < 1e-5
    assert (q.cluster_size == 1).all()
    assert torch.equal(q.embedding_sum, q.codebook)
    assert torch.equal(q.codebook, start(parent, quick)["quant3"].codebook)
    assert not torch.equal(q.codebook, start(parent, quick, seed=2)["quant3"].codebook)


def test_a_codebook_of_another_size_is_new(parent, quick):
    model = quick.model_copy(update={"quantizer": config.QuantizerModel(codebook_size=30)})
    codebook = start(parent, model)["quant2"].codebook
    assert codebook.shape == (30, 16)
    assert codebook.min() >= 0  # what a ReLU lets through


def test_each_switch_wakes_codes_and_a_killed_training_ends_with_the_same_bits(stores, parent, quick):
    options = {"lineage": "{2}->{2,3}", "parent": parent, "model": quick, "epochs": 2}
    switches = {"dead_codes": "restart", "new_codebooks": "parent_activations"}
    train(stores, "published", **options)
    published = history(stores, "published")[-1]
    for name, value in switches.items():
        train(stores, name, recipe=config.Recipe(**{name: value}), **options)
        lively = history(stores, name)[-1]
        assert lively["quant3_codes_used"] > published["quant3_codes_used"]
        assert lively["quant3_live_codes"] > published["quant3_live_codes"]
        card = json.loads((stores / name / "model" / "model.json").read_text())
        assert set(config.TRAINING_SWITCHES) == set(card["recipe"])
        assert card["recipe"][name] == value
        assert card["parent"] == json.loads((parent / "model.json").read_text())["sha256"]
    train(stores, "unbroken", recipe=LIVELY, **options)
    child = Child(stores, pause=0.01, recipe=LIVELY, **options)
    child.wait_for_step(7)  # in the second epoch, after a restart of dead codes
    child.signal(9)
    child.end()
    train(stores, recipe=LIVELY, **options)
    for file in ("model.safetensors", "model.json"):
        assert (stores / "a" / "model" / file).read_bytes() == (stores / "unbroken" / "model" / file).read_bytes()
