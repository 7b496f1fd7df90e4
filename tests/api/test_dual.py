"""Images, and speech beside them: against the networks asked directly, and products written out."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from resdavenet_vq import DualEncoder, ImageEncoder, InputError
from resdavenet_vq.data import images


@pytest.fixture(scope="module")
def both(folder):
    return DualEncoder.from_pretrained(folder / "model")


def cells_of(both, path):
    """(h, w, D) of an image, alone."""
    network = both._model.network
    crop = images.evaluation_crop(images.decode(path.read_bytes()), network.settings.image)
    with torch.inference_mode():
        return network.image(torch.from_numpy(crop.copy())[None])[0].permute(1, 2, 0).numpy()


def test_every_form_of_an_image_gives_the_cells_of_the_file(both, pictures):
    for path in pictures:
        expected = cells_of(both, path)
        pixels = np.asarray(Image.open(path))
        forms = [path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), Image.open(path), pixels]
        forms += [pixels.transpose(2, 0, 1), torch.from_numpy(pixels.transpose(2, 0, 1).copy())]
        for form in forms:
            np.testing.assert_allclose(both.image.features(form), expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(both.image.embed(path), expected.mean(axis=(0, 1)), rtol=1e-5, atol=1e-6)
    assert both.image.features(pictures).shape == (3, 4, 4, 10)
    assert both.image.crop(pictures[0]).shape == (64, 64, 3)
    assert both.image.features([]).shape[0] == 0
    assert both.image.embed([]).shape == (0, 10)


def test_similarities_are_the_products_written_out(both, wavs, pictures):
    frames = [both.speech.features(path).vectors.astype(float) for path in wavs]
    cells = [cells_of(both, path).reshape(-1, 10).astype(float) for path in pictures]
    products = [[f @ c.T for c in cells] for f in frames]  # (frames, cells)
    for kind, score in (
        ("sisa", np.mean),
        ("misa", lambda m: m.max(axis=1).mean()),
        ("sima", lambda m: m.max(axis=0).mean()),
    ):
        expected = [[score(m) for m in row] for row in products]
        np.testing.assert_allclose(both.similarity(wavs, pictures, kind=kind), expected, rtol=1e-4, atol=1e-5)
    shown = both.matchmap(wavs[0], pictures[1])
    np.testing.assert_allclose(shown.values.reshape(-1, 16), products[0][1], rtol=1e-4, atol=1e-5)
    assert shown.onsets[1] == shown.offsets[0] == shown.frame_period == 0.16
    assert both.similarity(wavs[0], pictures).shape == (1, 3)
    assert both.similarity([], pictures, kind="misa").shape == (0, 3)


def test_search_finds_the_best_first_in_both_directions(both, wavs, pictures):
    scores = both.similarity(wavs, pictures)
    for row, matches in zip(scores, both.search(wavs, pictures, k=2), strict=True):
        assert [m.index for m in matches] == sorted(range(3), key=lambda i: -row[i])[:2]
        assert [m.similarity for m in matches] == sorted(row.tolist(), reverse=True)[:2]
    (best, *others) = both.search(wavs, pictures[1], find="speech")
    assert best.similarity == pytest.approx(scores[:, 1].max(), rel=1e-4, abs=1e-5)
    assert len(others) == len(wavs) - 1
    twice = both.search(wavs[0], [pictures[0], pictures[0]])
    assert [m.index for m in twice] == [0, 1], "ties in the order that was given"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nowhere.png", r"^nowhere\.png: no such file"),
        (b"GIF89a", "^the image: "),
        (b"", r"^the image: is empty \(0 bytes\)"),
        (np.zeros((4, 4, 3)), "values of type float64 are not read; give uint8, from 0 to 255"),
        (np.zeros((4, 4), np.uint8), r"has the shape \(H, W, 3\) or \(3, H, W\), not \(4, 4\)"),
        (np.zeros((3, 4, 3), np.uint8), r"not \(3, 4, 3\)"),
        (3, "the image: is of type int; give a path, an open file, bytes, an array or a Pillow image, or a list"),
        (["0.png", b"x"], "^2 of 2|^1 of 2 images cannot be used:\nimage 1: "),
    ],
)
def test_what_is_no_image_is_named(both, folder, monkeypatch, given, message):
    monkeypatch.chdir(folder)
    for call in (both.image.features, both.image.embed):
        with pytest.raises(InputError, match=message):
            call(given)


def test_requests_that_mean_nothing(both, folder, wavs, pictures):
    for call, message in (
        (lambda: both.similarity(wavs, pictures, kind="max"), "kind='max' is none of sisa, misa, sima"),
        (lambda: both.search(wavs, pictures, find="words"), "find='words' is neither 'images' nor 'speech'"),
        (lambda: both.search(wavs, pictures, k=0), "k=0 is no number of matches"),
        (lambda: both.matchmap(wavs, pictures[0]), "a matchmap is of one recording, not of a list"),
        (lambda: both.matchmap(wavs[0], pictures), "a matchmap is of one image, not of a list"),
        (lambda: both.image.crop(pictures), "crop takes one image"),
        (
            lambda: ImageEncoder.from_pretrained(folder / "speech"),
            "has no image branch; its speech is that of SpeechEncoder",
        ),
        (lambda: DualEncoder.from_pretrained(folder / "speech"), "has no image branch"),
    ):
        with pytest.raises(InputError, match=message):
            call()


def test_what_an_encoder_says_of_itself(both):
    assert repr(both).split("\n") == [
        "DualEncoder(",
        "  lineage: {}->{2,3}",
        "  quantizers: quant2, quant3",
        "  common space: conv5, 10 values",
        f"  parameters: {sum(x.numel() for x in both._model.network.parameters()) + 144:,}",
        "  on: cpu, float32",
        ")",
    ]
    assert "input: 64 x 64 pixels, of 72 on the shorter side" in repr(both.image)
    assert both.lineage == both.speech.lineage == both.image.lineage == "{}->{2,3}"
