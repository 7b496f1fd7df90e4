"""Restart of dead codes, and initialization of new codebooks from the parent's activations."""

import json

import numpy as np
import pytest
import torch
from training_child import MODEL, TRAINING, Child, history, train, write_stores

from resdavenet_vq import config
from resdavenet_vq.data.store import Store
from resdavenet_vq.model import checkpoint
from resdavenet_vq.model.quantizer import Quantizer, nearest
from resdavenet_vq.training import codebooks
from resdavenet_vq.training.state import Run
from resdavenet_vq.training.step import generator, quantizers_of

K, C = 12, 5
LIVELY = config.Recipe(dead_codes="restart", new_codebooks="parent_activations")
QUICK = MODEL.model_copy(update={"quantizer": config.QuantizerModel(codebook_size=40, decay=0.5)})
"""With a codebook whose unused codes are dead after a few steps."""


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
    assert codebooks.live_codes({"quant2": q, "quant3": quantizer()}) == {
        "quant2_live_codes": 11,
        "quant3_live_codes": 9,
    }


def test_restarts_come_every_so_many_steps_but_not_at_the_very_beginning():
    due = [(e, s) for e in (1, 2) for s in range(60) if codebooks.restart_is_due((e, s))]
    assert due == [(1, 25), (1, 50), (2, 0), (2, 25), (2, 50)]


def test_dead_codes_move_to_valid_frames_of_the_batch_with_size_and_sum():
    q, (x, n_frames) = quantizer(), frames()
    before = {name: v.clone() for name, v in q.named_buffers()}
    mean = q.cluster_size.mean()
    codebooks.restart_dead_codes(q, x, n_frames, 3, torch.Generator().manual_seed(1))
    valid = torch.cat([x[i, :, :n].T for i, n in enumerate(n_frames)])
    dead, others = [2, 7, 8], [k for k in range(K) if k not in (2, 7, 8)]
    assert all((valid == row).all(dim=1).any() for row in q.codebook[dead])
    assert len(q.codebook[dead].unique(dim=0)) == 3
    assert torch.equal(q.cluster_size[dead], mean.expand(3))
    torch.testing.assert_close(q.embedding_sum[dead], mean * q.codebook[dead])
    for name, v in q.named_buffers():
        assert torch.equal(v[others], before[name][others])
    assert codebooks.live(q).all()


def test_without_dead_codes_nothing_moves():
    q, (x, n_frames) = quantizer(dead=()), frames()
    before = q.codebook.clone()
    codebooks.restart_dead_codes(q, x, n_frames, 3, torch.Generator().manual_seed(1))
    assert torch.equal(q.codebook, before)


def test_frames_that_are_not_finite_move_nothing():
    q, (x, n_frames) = quantizer(), frames()
    before = {name: v.clone() for name, v in q.named_buffers()}
    codebooks.restart_dead_codes(q, x * torch.nan, n_frames, 3, torch.Generator().manual_seed(1))
    assert all(torch.equal(v, before[name]) for name, v in q.named_buffers())


def test_the_draw_follows_its_generator():
    def drawn(seed):
        q, (x, n_frames) = quantizer(), frames()
        codebooks.restart_dead_codes(q, x, n_frames, 3, torch.Generator().manual_seed(seed))
        return q.codebook

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


def test_a_codebook_larger_than_the_batch_takes_frames_twice():
    q, (x, n_frames) = quantizer(dead=range(11)), frames()
    codebooks.restart_dead_codes(q, x[1:2], n_frames[1:2], 1, torch.Generator().manual_seed(0))
    assert (q.codebook[:11] == x[1, :, 0]).all()


def test_a_restarted_code_is_taken_by_its_frame():
    q, (x, n_frames) = quantizer(), frames()
    codebooks.restart_dead_codes(q, x, n_frames, 3, torch.Generator().manual_seed(1))
    assert nearest(q.codebook[[2, 7, 8]], q.codebook).tolist() == [2, 7, 8]


# -- in a training ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    folder = write_stores(tmp_path_factory.mktemp("parent"))
    train(folder, lineage="{2}", epochs=1, model=QUICK)
    return folder / "a" / "model"


def start(stores, parent, recipe, seed=1, model=QUICK):
    run = Run.start(model, (2, 3), recipe, TRAINING, parent, torch.device("cpu"))
    codebooks.initialize_from_parent(
        quantizers_of(run.model), parent, Store(stores / "train.h5"), generator("codebooks", seed)
    )
    return quantizers_of(run.model)


def test_new_codebooks_are_frames_of_the_parent(stores, parent):
    found = start(stores, parent, LIVELY)
    model, _ = checkpoint.load(parent)
    assert torch.equal(found["quant2"].codebook, model.audio.quantizers["quant2"].codebook)  # the parent has it
    store = Store(stores / "train.h5")
    known = []
    with torch.inference_mode():
        for i in np.flatnonzero(store.image_index >= 0).tolist():
            logmel = torch.from_numpy(store.logmel(i).astype(np.float32)).T[None]
            layer = model.audio(logmel, torch.tensor([logmel.shape[2]])).layers["conv3"]
            known.append(layer.vectors[0, :, : layer.n_frames[0]].T)
    q = found["quant3"]
    assert (q.codebook[:, None] - torch.cat(known)).abs().amax(dim=2).amin(dim=1).max() < 1e-5
    assert (q.cluster_size == 1).all()
    assert torch.equal(q.embedding_sum, q.codebook)
    again, other = start(stores, parent, LIVELY)["quant3"], start(stores, parent, LIVELY, seed=2)["quant3"]
    assert torch.equal(q.codebook, again.codebook)
    assert not torch.equal(q.codebook, other.codebook)


def test_a_codebook_of_another_size_is_new(stores, parent):
    model = QUICK.model_copy(update={"quantizer": config.QuantizerModel(codebook_size=30)})
    found = start(stores, parent, LIVELY, model=model)["quant2"].codebook
    assert found.shape == (30, 16)
    assert found.min() >= 0  # what a ReLU lets through


@pytest.mark.parametrize("switch", [{"dead_codes": "restart"}, {"new_codebooks": "parent_activations"}])
def test_each_switch_wakes_codes(stores, parent, switch):
    options = {"lineage": "{2}->{2,3}", "parent": parent, "model": QUICK}
    train(stores, "published", **options)
    train(stores, "lively", recipe=config.Recipe(**switch), **options)
    published, lively = history(stores, "published")[-1], history(stores, "lively")[-1]
    assert lively["quant3_codes_used"] > published["quant3_codes_used"]
    assert lively["quant3_live_codes"] > published["quant3_live_codes"]
    card = json.loads((stores / "lively" / "model" / "model.json").read_text())
    assert set(config.TRAINING_SWITCHES) == set(card["recipe"])
    assert switch.items() <= card["recipe"].items()


def test_a_first_stage_has_no_parent_to_begin_at(stores):
    train(stores, "a", epochs=1)
    train(stores, "b", epochs=1, recipe=config.Recipe(new_codebooks="parent_activations"))
    assert history(stores, "a")[0]["loss"] == history(stores, "b")[0]["loss"]


def test_killed_and_resumed_it_ends_with_the_same_bits(stores, parent):
    options = {"lineage": "{2}->{2,3}", "parent": parent, "model": QUICK, "recipe": LIVELY}
    train(stores, "unbroken", **options)
    for _ in range(3):
        child = Child(stores, pause=0.01, **options)
        child.wait_for_step(4)
        child.signal(9)
        child.end()
    child = Child(stores, **options)
    assert child.end() == 0, child.text
    for file in ("model.safetensors", "model.json"):
        assert (stores / "a" / "model" / file).read_bytes() == (stores / "unbroken" / "model" / file).read_bytes()
