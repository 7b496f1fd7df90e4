import numpy as np
import torch
from training_child import history, train

from resdavenet_vq.training import augmentation
from resdavenet_vq.training.step import generator


def masks(n_frames, frames=None, position=(1, 0)):
    lengths = torch.tensor(n_frames)
    random = generator("masks", 1, *position)
    return augmentation.draw_masks(lengths, 40, frames or max(n_frames), len(n_frames), random).numpy()


def test_one_band_and_one_stretch_of_each_utterance():
    lengths = [1, 4, 5, 60, 150, 400] * 50
    found = masks(lengths)
    bands, stretches = [], []
    for mask, n in zip(found, lengths, strict=True):
        band, stretch = np.flatnonzero(mask.all(axis=1)), np.flatnonzero(mask.all(axis=0))
        assert (mask == (mask.all(axis=1)[:, None] | mask.all(axis=0)[None])).all()
        for places in (band, stretch):
            assert (np.diff(places) == 1).all()
        assert len(stretch) <= min(augmentation.LONGEST_STRETCH, augmentation.LARGEST_SHARE * n)
        assert (stretch < n).all()
        bands.append(len(band))
        stretches.append(len(stretch))
    assert set(bands) == set(range(augmentation.WIDEST_BAND + 1))
    assert max(stretches) == augmentation.LONGEST_STRETCH
    assert min(stretches) == 0
    assert found.any(axis=(0, 2)).all()  # every band is masked now and then


def test_padding_changes_no_mask_and_each_step_has_its_own():
    lengths = [50, 90, 33]
    assert (masks(lengths, 200)[:, :, :90] == masks(lengths, 90)).all()
    assert (masks(lengths) == masks(lengths)).all()
    assert (masks(lengths) != masks(lengths, position=(1, 1))).any()


def test_masks_are_of_training_alone_and_change_it(stores):
    train(stores, "plain", epochs=1)
    train(stores, "masks", epochs=1, augmentation="masks")
    train(stores, "again", epochs=1, augmentation="masks", workers=1)
    plain, masked, again = (history(stores, name, timings=False) for name in ("plain", "masks", "again"))
    assert masked == again
    assert masked[0]["loss"] != plain[0]["loss"]
