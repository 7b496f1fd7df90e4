from pathlib import Path

import numpy as np
import oracles.training as oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from resdavenet_vq import config
from resdavenet_vq.training import compute, losses

VARIANTS = ("published", "masked")
GOLDEN = Path(__file__).parents[1] / "golden" / "losses"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "expected.npz") as f:
        return {k: torch.from_numpy(np.asarray(f[k])) for k in f}


def random_similarities(seed, n, scale=1.0):
    return torch.randn(n, n, generator=torch.Generator().manual_seed(seed)) * scale


def test_similarity_is_the_dot_product_of_means(golden):
    frames, n = golden["audio"].squeeze(2), golden["n_frames"]
    image = golden["image"].mean(dim=(2, 3))
    speech = torch.stack([f[:, : max(1, k)].mean(dim=1) for f, k in zip(frames, n.tolist(), strict=True)])
    torch.testing.assert_close(losses.pooled_similarity(image, speech), golden["similarity"], rtol=1e-4, atol=1e-6)


class Precisions(TorchDispatchMode):
    """Notes the precision that a GPU would compute each matrix product in."""

    def __init__(self):
        super().__init__()
        self.of_products = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.__name__.startswith("mm"):
            self.of_products.append(torch.backends.cuda.matmul.fp32_precision)
        return func(*args, **(kwargs or {}))


def test_similarities_and_their_gradients_are_true_float32_in_a_training_with_tf32(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    image, speech = (torch.randn(n, 6, generator=torch.Generator().manual_seed(n)).requires_grad_() for n in (4, 5))
    upstream = torch.randn(4, 5)
    expected = torch.autograd.grad(image @ speech.T, (image, speech), upstream)
    settings = config.Compute(precision="tf32")
    with compute.arithmetic(settings, torch.device("cuda")), Precisions() as precisions:
        S = losses.pooled_similarity(image, speech)
        gradients = torch.autograd.grad(S, (image, speech), upstream)
    assert precisions.of_products == ["ieee"] * 3
    assert torch.equal(S, image @ speech.T)
    assert all(torch.equal(a, b) for a, b in zip(gradients, expected, strict=True))


def test_golden_losses(golden):
    scaled, small, eye = golden["scaled"], golden["similarity"], torch.eye(8)
    sampled = losses.sampled_triplet(scaled, golden["impostors"], 1.0)
    torch.testing.assert_close(sampled.double(), golden["sampled"], rtol=1e-6, atol=1e-6)
    matrices = {"scaled": scaled, "small": small, "separated": 10 * eye, "inverted": -5 * eye}
    keys = [key for key in golden if key.startswith("semihard.")]
    assert len(keys) == 8
    for key in keys:
        _, name, side = key.split(".")
        S = matrices[name].T if side == "cols" else matrices[name]
        loss = losses.semi_hard_triplet(S, 0.3 if side == "rows_margin03" else 1.0, "published")
        torch.testing.assert_close(loss.double(), golden[key], rtol=1e-6, atol=1e-6, msg=key)


def test_masked_differs_where_the_release_invents_an_impostor():
    inverted = -5 * torch.eye(4)  # nothing is less similar than the true pair
    assert losses.semi_hard_triplet(inverted, 1.0, "published") == 6
    assert losses.semi_hard_triplet(inverted, 1.0, "masked") == 0
    negative = torch.tensor([[-1.0, -3.0], [-3.0, -1.0]])  # the admissible impostor is negative: the release scores 0
    assert losses.semi_hard_triplet(negative, 1.0, "published") == 2
    assert losses.semi_hard_triplet(negative, 3.0, "masked") == 1


@settings(max_examples=50)
@given(st.integers(1, 12), st.integers(0, 2**31), st.sampled_from([0.1, 1, 20]), st.sampled_from(VARIANTS))
def test_losses_agree_with_their_oracles(n, seed, scale, variant):
    S = random_similarities(seed, n, scale)
    impostors = losses.draw_impostors(n, torch.Generator().manual_seed(seed))
    got = losses.triplet_losses(S, impostors, 1.0, variant)
    s, k = S.double().numpy(), impostors.numpy()
    sampled = [oracle.sampled_triplet(matrix, chosen, 1.0) for matrix, chosen in ((s, k[0]), (s.T, k[1]))]
    expected = sampled + [oracle.semi_hard_triplet(matrix, 1.0, variant) for matrix in (s, s.T)]
    np.testing.assert_allclose([x.item() for x in got], expected, rtol=1e-4, atol=1e-5)
    assert got.sum().item() == pytest.approx(sum(expected), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradient_is_finite_and_only_where_it_belongs(variant):
    S = (-5 * torch.eye(6)).requires_grad_()  # no admissible impostor at all
    losses.semi_hard_triplet(S, 1.0, variant).backward()
    assert S.grad.isfinite().all()
    assert S.grad.count_nonzero() == (6 if variant == "published" else 0)  # the true pairs; nobody


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_batch_of_one_contributes_nothing(variant):
    S = torch.tensor([[3.0]], requires_grad=True)
    impostors = losses.draw_impostors(1, torch.Generator().manual_seed(0))
    total = losses.triplet_losses(S, impostors, 1.0, variant).sum()
    total.backward()
    assert total == 0
    assert S.grad == 0


def test_not_a_number_is_not_hidden():
    S = random_similarities(0, 4)
    S[2] = torch.nan
    impostors = losses.draw_impostors(4, torch.Generator().manual_seed(0))
    assert not losses.triplet_losses(S, impostors, 1.0, "published").sum().isfinite()


def test_impostors_are_uniform_over_the_others():
    n, rounds = 5, 4000
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(2, n, n)
    for _ in range(rounds):
        for side, chosen in enumerate(losses.draw_impostors(n, generator)):
            counts[side, torch.arange(n), chosen] += 1
    assert (counts.diagonal(dim1=1, dim2=2) == 0).all()
    others = counts[counts > 0] / rounds
    assert len(others) == 2 * n * (n - 1)
    assert (others - 1 / (n - 1)).abs().max() < 0.04  # about five standard errors
