import json
from pathlib import Path

import numpy as np
import oracles.training as oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from resdavenet_vq.training import losses

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


def test_golden_losses(golden):
    scaled, small, eye = golden["scaled"], golden["similarity"], torch.eye(8)
    pairs = {
        "sampled": losses.sampled_triplet(scaled, golden["impostors"], 1.0),
        "semihard.scaled.rows": losses.semi_hard_triplet(scaled, 1.0, "published"),
        "semihard.scaled.cols": losses.semi_hard_triplet(scaled.T, 1.0, "published"),
        "semihard.scaled.rows_margin03": losses.semi_hard_triplet(scaled, 0.3, "published"),
        "semihard.small.rows": losses.semi_hard_triplet(small, 1.0, "published"),
        "semihard.small.cols": losses.semi_hard_triplet(small.T, 1.0, "published"),
        "semihard.small.rows_margin03": losses.semi_hard_triplet(small, 0.3, "published"),
        "semihard.separated.rows": losses.semi_hard_triplet(10 * eye, 1.0, "published"),
        "semihard.inverted.rows": losses.semi_hard_triplet(-5 * eye, 1.0, "published"),
    }
    for name, loss in pairs.items():
        torch.testing.assert_close(loss.double(), golden[name], rtol=1e-6, atol=1e-6, msg=name)


def test_masked_differs_where_the_release_invents_an_impostor():
    inverted = -5 * torch.eye(4)  # nothing is less similar than the true pair
    assert losses.semi_hard_triplet(inverted, 1.0, "published") == 6
    assert losses.semi_hard_triplet(inverted, 1.0, "masked") == 0
    negative = torch.tensor([[-1.0, -3.0], [-3.0, -1.0]])  # the admissible impostor is negative: the release scores 0
    assert losses.semi_hard_triplet(negative, 1.0, "published") == 2
    assert losses.semi_hard_triplet(negative, 3.0, "masked") == 1


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(0, 2**31),
    st.sampled_from([0.1, 1.0, 20.0]),
    st.sampled_from(["published", "masked"]),
)
def test_losses_agree_with_their_oracles(n, seed, scale, variant):
    S = random_similarities(seed, n, scale)
    impostors = losses.draw_impostors(n, torch.Generator().manual_seed(seed))
    got = losses.triplet_losses(S, impostors, 1.0, variant)
    s, k = S.double().numpy(), impostors.numpy()
    expected = (
        oracle.sampled_triplet(s, k[0], 1.0),
        oracle.sampled_triplet(s.T, k[1], 1.0),
        oracle.semi_hard_triplet(s, 1.0, variant),
        oracle.semi_hard_triplet(s.T, 1.0, variant),
    )
    np.testing.assert_allclose([x.item() for x in got], expected, rtol=1e-4, atol=1e-5)
    assert got.sum().item() == pytest.approx(sum(expected), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("variant", ["published", "masked"])
def test_gradient_is_finite_and_only_where_it_belongs(variant):
    S = (-5 * torch.eye(6)).requires_grad_()  # no admissible impostor at all
    losses.semi_hard_triplet(S, 1.0, variant).backward()
    assert S.grad.isfinite().all()
    assert S.grad.count_nonzero() == (6 if variant == "published" else 0)  # the true pairs; nobody


@pytest.mark.parametrize("variant", ["published", "masked"])
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


def test_learning_rate_table():
    table = json.loads((GOLDEN / "learning_rate_by_epoch.json").read_text())
    assert [oracle.learning_rate(2e-4, e) for e in range(len(table))] == pytest.approx(table)
