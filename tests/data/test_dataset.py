import pickle
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles.data import IMAGE, assert_same_batches, make_manifest, prepared

from resdavenet_vq.corpus.manifest import Manifest
from resdavenet_vq.data import images
from resdavenet_vq.data.dataset import (
    POOL,
    Batch,
    by_length,
    equal_length_batches,
    evaluation_images,
    training_batches,
)
from resdavenet_vq.data.store import verify
from resdavenet_vq.errors import InputError


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    return prepared(make_manifest(folder / "corpus", 26), folder)


def loader(store, **changes):
    options = {"batch_size": 8, "pad_to": "batch", "pad_value": 0.0, "seed": 1, "epoch": 1, "workers": 0}
    return training_batches(store, IMAGE, **options | changes)


def batches(store, **changes):
    return list(loader(store, **changes))


def test_what_a_batch_holds(store):
    found = batches(store)
    assert [len(b.index) for b in found] == [8, 8, 5], "21 of 26 have an image, the last batch is used"
    drawn = torch.cat([b.index for b in found]).tolist()
    assert sorted(drawn) == np.flatnonzero(store.image_index >= 0).tolist()
    assert drawn != sorted(drawn)
    for batch in found:
        assert isinstance(batch, Batch)
        assert batch.logmel.dtype == torch.float16
        assert batch.images.dtype == torch.uint8
        assert batch.images.shape[1:] == (3, 24, 24)
        longest = int(batch.n_frames.max())
        assert longest <= batch.logmel.shape[2] < longest + 16
        assert batch.logmel.shape[1:] == (40, batch.logmel.shape[2])
        assert batch.logmel.shape[2] % 16 == 0
        for logmel, n, number in zip(batch.logmel, batch.n_frames, batch.index.tolist(), strict=True):
            np.testing.assert_array_equal(logmel[:, :n].T, store.logmel(number))
            assert (logmel[:, n:] == 0).all()


@pytest.mark.parametrize("workers", [0, 1])
def test_epochs_one_behind_the_other(store, workers):
    one_by_one = [batch for epoch in (1, 2, 3) for batch in batches(store, epoch=epoch)]
    assert_same_batches(batches(store, epoch=1, last_epoch=3, workers=workers), one_by_one)
    assert_same_batches(batches(store, epoch=2, start_step=1, last_epoch=3, workers=workers), one_by_one[4:])


def test_padding_only_adds_the_pad_value(store):
    for zero, floor in zip(batches(store), batches(store, pad_to="max_frames", pad_value=-80.0), strict=True):
        assert floor.logmel.shape[2] == 2048
        width = zero.logmel.shape[2]
        padded = torch.arange(width) >= zero.n_frames[:, None, None]
        assert torch.equal(torch.where(padded, -80, zero.logmel), floor.logmel[:, :, :width])
        assert (floor.logmel[:, :, width:] == -80).all()
        assert torch.equal(zero.images, floor.images)


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes")
@pytest.mark.parametrize("workers", [1, 4])
def test_workers_change_nothing(store, workers):
    torch.manual_seed(workers)
    state = torch.get_rng_state()
    assert_same_batches(batches(store), batches(store, workers=workers))
    assert torch.equal(state, torch.get_rng_state()), "the global random state is left alone"


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_share_the_global_batch(store, world):
    ranks = [batches(store, rank=rank, world=world) for rank in range(world)]
    for whole, *parts in zip(batches(store), *ranks, strict=True):
        for field, everything in enumerate(whole):
            together = torch.empty_like(everything)
            for rank in range(world):
                together[rank::world] = parts[rank][field]
            assert torch.equal(together, everything)


def test_a_rank_may_have_nothing_of_a_short_batch(store):
    parts = [batches(store, batch_size=20, rank=rank, world=2)[-1] for rank in range(2)]
    assert [len(part.index) for part in parts] == [1, 0]
    assert parts[0].logmel.shape[1:] == parts[1].logmel.shape[1:]


def test_start_step_goes_on_where_the_epoch_was(store, monkeypatch):
    whole = batches(store)
    decoded = []
    decode = images.decode
    monkeypatch.setattr(images, "decode", lambda data: decoded.append(1) or decode(data))
    assert_same_batches(whole[2:], batches(store, start_step=2))
    assert len(decoded) == 5, "nothing skipped was decoded"
    assert batches(store, start_step=3) == []


def test_order_and_crops_follow_seed_and_epoch(store):
    assert_same_batches(batches(store), batches(store))
    for change in ({"seed": 2}, {"epoch": 2}):
        assert not torch.equal(batches(store)[0].index, batches(store, **change)[0].index)

    def crop_of(number, **changes):
        return next(b.images[list(b.index).index(number)] for b in batches(store, **changes) if number in b.index)

    assert torch.equal(crop_of(3), crop_of(3, batch_size=3)), "a crop does not depend on the batch"
    assert not torch.equal(crop_of(3), crop_of(3, epoch=2))


@given(
    n_frames=st.lists(st.integers(1, 99), min_size=1, max_size=90), batch_size=st.integers(1, 9), seed=st.integers(0, 9)
)
def test_batches_of_similar_lengths(n_frames, batch_size, seed):
    """Each pool of batches in random order is dealt by length; in a pool no two batches overlap in their lengths."""
    lengths, drawn = np.array(n_frames), np.random.default_rng(seed).permutation(len(n_frames))
    order = by_length(drawn, lengths, batch_size, np.random.default_rng(seed))
    assert sorted(order.tolist()) == list(range(len(lengths)))
    whole = len(lengths) // batch_size * batch_size
    assert order[whole:].tolist() == drawn[whole:].tolist(), "the short last batch stays the last"
    batches = [set(order[i : i + batch_size].tolist()) for i in range(0, whole, batch_size)]
    size = POOL * batch_size
    for pool in (set(drawn[i : min(i + size, whole)].tolist()) for i in range(0, whole, size)):
        own = sorted((batch for batch in batches if batch <= pool), key=lambda batch: sorted(lengths[list(batch)]))
        assert set.union(*own) == pool
        for shorter, longer in pairwise(own):
            assert lengths[list(shorter)].max() <= lengths[list(longer)].min()


def test_similar_lengths_are_less_padding_and_other_pairs_in_each_epoch(store):
    def padding(found):
        return sum(int((b.n_frames.max() - b.n_frames).sum()) for b in found)

    similar, again, later = (
        batches(store, batching="similar_lengths", batch_size=4, epoch=epoch) for epoch in (1, 1, 2)
    )
    assert_same_batches(similar, again)
    assert padding(similar) < padding(batches(store, batch_size=4)) / 2
    for found in (similar, later):
        assert sorted(torch.cat([b.index for b in found]).tolist()) == np.flatnonzero(store.image_index >= 0).tolist()
        assert [len(b.index) for b in found] == [4, 4, 4, 4, 4, 1]
    assert {frozenset(b.index.tolist()) for b in similar} != {frozenset(b.index.tolist()) for b in later}


def test_evaluation_images(store):
    for workers in (0, 2):
        found = list(evaluation_images(store, IMAGE, 4, workers))
        assert np.concatenate([numbers for _, numbers in found]).tolist() == list(range(len(store.image_ids)))
        for crops, numbers in found:
            assert crops.shape == (len(numbers), 3, 24, 24)
            for crop, number in zip(crops, numbers, strict=True):
                image = images.decode(store.image(int(number)))
                np.testing.assert_array_equal(crop, images.evaluation_crop(image, IMAGE))


@given(st.integers(1, 500), st.sampled_from([None, 1, 7, 31]))
def test_equal_length_batches(store, most, limit):
    seen = []
    for logmel, numbers in equal_length_batches(store, most, limit):
        assert logmel.dtype == torch.float32
        assert logmel.shape == (len(numbers), 40, store.n_frames[numbers[0]])
        assert logmel.shape[0] * logmel.shape[2] <= most or len(numbers) == 1
        np.testing.assert_array_equal(logmel[-1].T, store.logmel(int(numbers[-1])))
        seen += numbers.tolist()
    assert sorted(seen) == list(range(len(store)))[:limit]


def test_speech_alone_cannot_be_trained_on(tmp_path):
    manifest = make_manifest(tmp_path / "corpus", 5)
    store = prepared(Manifest([u for u in manifest.utterances if u.image is None]), tmp_path)
    with pytest.raises(InputError, match="no utterance with an image"):
        batches(store)
    assert list(evaluation_images(store, IMAGE, 4, 0)) == verify(store.path) == []


def test_batches_can_be_sent_to_spawned_workers(store):
    dataset = loader(store).dataset
    assert_same_batches([pickle.loads(pickle.dumps(dataset))[0]], [dataset[0]])
