"""Laws of normalised features, against a twin in float64."""

import numpy as np
import oracles.model as oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from resdavenet_vq.config import AudioModel, QuantizerModel
from resdavenet_vq.model.audio import AudioEncoder
from resdavenet_vq.model.normalization import Statistics, normalized


def utterances(lengths, seed=0, width=None):
    """Features (B, 40, T) of utterances like speech, padded with 0 dB, and their lengths."""
    rng = np.random.default_rng(seed)
    logmel = np.zeros((len(lengths), 40, width or max(lengths)), np.float32)
    for row, n in zip(logmel, lengths, strict=True):
        row[:, :n] = (rng.normal(-40, 12, (40, 1)) + rng.normal(0, 9, (40, n))).clip(-80, 0)
    return torch.from_numpy(logmel), torch.tensor(lengths)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 70), min_size=1, max_size=4), st.integers(0, 99))
def test_each_band_of_each_utterance_has_mean_0_and_variance_1(lengths, seed):
    logmel, n_frames = utterances(lengths, seed)
    found = normalized(logmel, n_frames)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, oracle.normalized(logmel.numpy(), lengths), atol=1e-4)
    for x, n in zip(found.double(), lengths, strict=True):
        assert x[:, :n].mean(dim=1).abs().max() < 1e-4  # of float32, where two frames are nearly equal
        assert x[:, n:].abs().sum() == 0
        if n > 5:
            assert (x[:, :n].var(dim=1, correction=0) - 1).abs().max() < 1e-5


@pytest.mark.parametrize("constant", [-80.0, 0.0, -33.3])
def test_a_constant_band_is_0_and_one_that_hardly_varies_is_not_amplified(constant):
    logmel, n_frames = utterances([50])
    logmel[0, 7], logmel[0, 8] = constant, constant
    logmel[0, 8, ::2] += 0.01
    found = normalized(logmel, n_frames)
    assert (found[0, 7] == 0).all()
    assert found[0, 8].abs().max() < 0.1


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(0, 300), st.sampled_from([0.0, -80.0, float("nan")]), st.integers(0, 99))
def test_neither_padding_nor_batch_mates_change_a_bit(n, padding, value, seed):
    logmel, n_frames = utterances([n], seed)
    alone = normalized(logmel, n_frames)
    mates, lengths = utterances([n, 61, 3], seed + 1, width=max(n, 61) + padding)
    mates[0] = value
    mates[0, :, :n] = logmel[0]
    found = normalized(mates, lengths)[0]
    assert torch.equal(found[:, :n], alone[0])
    assert (found[:, n:] == 0).all()


@pytest.mark.parametrize("gain", [-20.0, 6.0])
def test_gain_changes_nothing(gain):
    logmel, n_frames = utterances([64, 40])
    loud = normalized(logmel + gain, n_frames)
    torch.testing.assert_close(loud, normalized(logmel, n_frames), atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_statistics_of_blocks_are_those_of_the_whole(size):
    logmel, n_frames = utterances([150])
    logmel[0, 3] = -80
    blocks = logmel[0].T.split(size)
    for found, expected in zip(
        Statistics.of_blocks([*blocks, blocks[0][:0]]), Statistics.of(logmel, n_frames), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def encoder(**changes):
    torch.manual_seed(1)
    audio = AudioModel(widths=(4, 4, 6, 6, 8), blocks_per_stage=1, kernel_size=3, **changes)
    return AudioEncoder(audio, QuantizerModel(codebook_size=9), (2, 3)).eval()


def test_the_network_normalises_what_enters_it():
    logmel, n_frames = utterances([64, 40])
    expected = encoder()(normalized(logmel, n_frames), n_frames).frames
    found = encoder(features="normalized")(logmel.half().float(), n_frames).frames
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.05)
    assert torch.equal(encoder(features="normalized")(logmel, n_frames).frames, expected)
    assert not torch.equal(encoder(features="published")(logmel, n_frames).frames, expected)


def test_a_piece_with_the_statistics_of_the_whole():
    logmel, n_frames = utterances([96])
    network, statistics = encoder(features="normalized"), Statistics.of(*utterances([96]))
    whole = network(logmel, n_frames).layers["conv1"].vectors
    piece = logmel[:, :, 30:50], torch.tensor([20])
    assert torch.equal(network(*piece, statistics=statistics).layers["conv1"].vectors, whole[:, :, 30:50])
    assert not torch.equal(network(*piece).layers["conv1"].vectors, whole[:, :, 30:50])


@pytest.mark.parametrize("features", ["published", "normalized"])
def test_masked_values_are_the_mean_of_the_utterance(features):
    logmel, n_frames = utterances([64, 40])
    masked = torch.zeros(logmel.shape, dtype=torch.bool)
    masked[0, 4:9], masked[1, :, 10:20] = True, True
    expected = normalized(logmel, n_frames) if features == "normalized" else logmel.clone()
    for x, n, where in zip(expected, n_frames, masked, strict=True):
        x[where] = 0 if features == "normalized" else x[:, :n].mean()
    found = encoder(features=features)(logmel, n_frames, masked=masked).frames
    torch.testing.assert_close(found, encoder()(expected, n_frames).frames)
