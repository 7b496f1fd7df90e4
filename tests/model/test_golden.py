"""The audio network against outputs of the 2020 release's arithmetic."""

import json
from pathlib import Path

import numpy as np
import oracles.model as oracle
import pytest
import torch

from resdavenet_vq.config import AudioModel, QuantizerModel
from resdavenet_vq.data import features
from resdavenet_vq.data.audio import read_wav
from resdavenet_vq.model import checkpoint
from resdavenet_vq.model.audio import AudioEncoder, frame_mask
from resdavenet_vq.release.importing import audio_state, import_released

DATA = Path(__file__).parents[1] / "golden"
MANIFEST = json.loads((DATA / "audio_model/manifest.json").read_text())


@pytest.fixture(scope="module")
def batch():
    arrays = np.load(DATA / "audio_model/input.npz")
    return torch.from_numpy(arrays["logmel"]), torch.from_numpy(arrays["n_frames"])


@pytest.fixture(scope="module", params=sorted(MANIFEST["cases"]))
def golden(request):
    return request.param, dict(np.load(DATA / f"audio_model/{request.param}.npz"))


def positions(mask):
    return tuple(n for n, on in enumerate(mask, start=1) if on == "1")


def encoder(mask, golden):
    model = AudioEncoder(
        AudioModel(widths=tuple(MANIFEST["layer_widths"])),
        QuantizerModel(codebook_size=tuple(MANIFEST["codebook_sizes"])),
        positions(mask),
    )
    arrays = {name.removeprefix("state."): x for name, x in golden.items() if name.startswith("state.")}
    model.load_state_dict(audio_state({name: torch.from_numpy(x) for name, x in arrays.items()}))
    return model


def close(found, expected):
    expected = np.asarray(expected)
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_evaluation(golden, batch):
    mask, expected = golden
    with torch.no_grad():
        out = encoder(mask, expected).eval()(*batch)
    close(out.frames[:, :, None], expected["eval.output"])
    assert [name for name in out.layers if name.startswith("quant")] == [f"quant{n}" for n in positions(mask)]
    for n in range(1, 6):
        valid = frame_mask(out.layers[f"conv{n}"].n_frames, out.layers[f"conv{n}"].vectors.shape[2])
        assert [valid.sum(), MANIFEST["layer_widths"][n - 1]] == expected[f"eval.flat_shape{n}"].tolist()
        if n in positions(mask):
            layer = out.layers[f"quant{n}"]
            np.testing.assert_array_equal(layer.codes, expected[f"layer{n}.codes"])
            np.testing.assert_array_equal(layer.codes[valid], expected[f"eval.codes{n}"])
            close(layer.commitment_loss, expected[f"eval.loss{n}"])
            counts = np.bincount(expected[f"eval.codes{n}"], minlength=len(layer.counts))
            np.testing.assert_array_equal(layer.counts, counts)
            close(oracle.perplexity(layer.codes[valid].numpy()), expected[f"eval.perplexity{n}"])
        else:
            layer = out.layers[f"conv{n}"]
        close(layer.vectors[:, :, None], expected[f"layer{n}.quantized"])


def test_training_forward_and_codebooks(golden, batch):
    mask, expected = golden
    model = encoder(mask, expected).train()
    out = model(*batch)
    close(out.frames.detach()[:, :, None], expected["train.output"])
    for n in positions(mask):
        close(out.layers[f"quant{n}"].commitment_loss.detach(), expected[f"train.loss{n}"])
        quantizer = model.quantizers[f"quant{n}"]
        close(quantizer.cluster_size, expected[f"ema.cluster_size{n}"])
        close(quantizer.embedding_sum, expected[f"ema.weight{n}"])
        close(quantizer.codebook, expected[f"ema.embedding{n}"])


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("imported")
    import_released(DATA / "reference_experiment", folder, allow_unknown=False)
    return checkpoint.load(folder)


def test_reference_experiment(experiment, batch):
    model, card = experiment
    with torch.no_grad():
        out = model.audio(*batch)
    close(out.frames[:, :, None], np.load(DATA / "reference_experiment/expected.npz")["output"])
    assert card["quantizers"] == [2, 3]
    assert card["image_branch"] is False
    assert card["model"]["quantizer"]["codebook_size"] == 32
    assert card["provenance"]["arguments"]["VQ_turnon"] == "0,1,1,0,0"
    assert card["provenance"]["best_recall_at_10"] == 0.352


@pytest.mark.parametrize("layer", ["conv2", "quant2", "conv3", "quant3", "conv4"])
def test_abx_dump(experiment, layer):
    """The dump was made in one batch padded with 0 to the longest, utt1, printed with three decimals."""
    wavs = [DATA / f"abx_dump/wavs/utt{i}.wav" for i in range(3)]
    logmels = [torch.from_numpy(features.log_mel(read_wav(wav))) for wav in wavs]
    padded = torch.nn.utils.rnn.pad_sequence(logmels, batch_first=True).transpose(1, 2)
    with torch.no_grad():
        out = experiment[0].audio(padded, torch.tensor([*map(len, logmels)]), until=layer).layers[layer]
    for i, (vectors, n) in enumerate(zip(out.vectors, out.n_frames, strict=True)):
        dumped = np.loadtxt(DATA / f"abx_dump/{layer}/utt{i}.txt")
        np.testing.assert_allclose(vectors[:, :n].T, dumped, rtol=0, atol=0.0006)
