import hypothesis.extra.numpy as npst
import numpy as np
import oracles.model as oracle
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from resdavenet_vq.config import QuantizerModel
from resdavenet_vq.errors import InputError
from resdavenet_vq.model import quantizer as module
from resdavenet_vq.model.quantizer import Quantizer, codebook_size, nearest

K, C, B, T = 12, 5, 3, 20


def quantizer(**changes):
    torch.manual_seed(3)
    return Quantizer(C, K, QuantizerModel(**changes))


def batch(seed=0):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(B, C, T, generator=rng)
    mask = torch.arange(T) < torch.tensor([T, 13, 1])[:, None]
    return x, mask


def buffers(q):
    return {name: x.clone() for name, x in q.named_buffers()}


def whole_numbers(rows):
    return npst.arrays(np.float32, st.tuples(rows, st.just(2)), elements=st.integers(-3, 3).map(float))


@given(
    frames=whole_numbers(st.integers(1, 30)), codebook=whole_numbers(st.integers(1, 40)), at_once=st.integers(1, 200)
)
def test_nearest_is_the_lowest_of_the_nearest(frames, codebook, at_once):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(module.DISTANCES_AT_ONCE, "cpu", at_once)
        found = nearest(torch.from_numpy(frames), torch.from_numpy(codebook))
    np.testing.assert_array_equal(found, oracle.nearest(frames, codebook))


class LargeResults(TorchDispatchMode):
    """Lists the operations whose results are new and have at least so many numbers."""

    def __init__(self, size):
        super().__init__()
        self.size, self.operations = size, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        is_new = "out" not in (kwargs or {}) and not func.is_view
        if is_new and isinstance(result, torch.Tensor) and result.numel() >= self.size:
            self.operations.append(func.__name__.split(".")[0])
        return result


def test_all_blocks_of_frames_share_one_buffer_of_distances(monkeypatch):
    monkeypatch.setitem(module.DISTANCES_AT_ONCE, "cpu", 7 * K)
    frames, codebook = torch.randn(70, C), torch.randn(K, C)
    with LargeResults(7 * K) as new:
        codes = nearest(frames, codebook)
    assert new.operations == ["new_empty"]
    assert codes.shape == (70,)


def test_a_distance_that_is_not_a_number_is_the_lowest():
    """As everywhere in torch; no codebook is updated from such a frame."""
    codebook = torch.randn(K, C)
    codebook[[4, 7]] = torch.nan
    assert nearest(torch.randn(3, C), codebook).tolist() == [4, 4, 4]
    assert nearest(torch.full((1, C), torch.nan), codebook).tolist() == [0]


def test_no_frames_have_no_codes():
    assert nearest(torch.randn(2, 0, C), torch.randn(K, C)).shape == (2, 0)


@given(
    x=npst.arrays(
        np.float32, st.tuples(st.integers(1, 3), st.just(C), st.integers(1, 9)), elements=st.floats(-9, 9, width=32)
    )
)
def test_a_frame_becomes_the_nearest_code(x):
    q = quantizer().eval()
    out = q(torch.from_numpy(x), torch.ones(x.shape[0], x.shape[2], dtype=torch.bool))
    distance = np.square(out.vectors.numpy() - x).sum(axis=1)
    every = np.square(q.codebook.numpy()[:, None, :, None] - x[None]).sum(axis=2)
    np.testing.assert_allclose(distance, every.min(axis=0), rtol=1e-4, atol=1e-4)
    assert torch.equal(out.vectors, q.codebook[out.codes].transpose(1, 2))


def test_update_follows_the_formula():
    q = quantizer(init_mass=0.5, decay=0.9, epsilon=1e-3).train()
    before = buffers(q)
    x, mask = batch()
    out = q(x, mask)
    frames, codes = x.transpose(1, 2)[mask].numpy(), out.codes[mask].numpy()
    np.testing.assert_array_equal(codes, oracle.nearest(frames.astype(float), before["codebook"].numpy().astype(float)))
    averages = before["cluster_size"].numpy(), before["embedding_sum"].numpy()
    size, total, codebook = oracle.moved_codebook(frames, codes, *averages, 0.9, 1e-3)
    np.testing.assert_allclose(q.cluster_size, size, rtol=1e-5)
    np.testing.assert_allclose(q.embedding_sum, total, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(q.codebook, codebook, rtol=1e-5, atol=1e-6)
    loss = oracle.commitment(frames, codes, before["codebook"].numpy())
    np.testing.assert_allclose(out.commitment_loss.item(), loss, rtol=1e-5)
    assert out.counts.tolist() == np.bincount(codes, minlength=K).tolist()
    np.testing.assert_array_equal(out.vectors, before["codebook"][out.codes].transpose(1, 2))


class Chains(TorchDispatchMode):
    """Finds the most values that one place of a sum receives: a GPU's deterministic sums add them up in turn."""

    longest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.__name__.startswith(("index_add", "scatter_add")):
            self.longest = max(self.longest, int(args[2].bincount().max()))
        return func(*args, **(kwargs or {}))


def half_padding_and_one_popular_code():
    q = quantizer().train()
    q.codebook[1:] = 1e3
    x = torch.randn(64, C, 512, generator=torch.Generator().manual_seed(0))
    return q, x, (torch.arange(512) < 256).expand(64, -1)


def test_on_a_gpu_no_sum_adds_up_many_frames_in_turn(monkeypatch):
    monkeypatch.setitem(module.BINS, "cpu", module.BINS["cuda"])
    q, x, mask = half_padding_and_one_popular_code()
    with Chains() as chains:
        out = q(x, mask)
    assert out.counts.tolist() == [64 * 256] + [0] * (K - 1)
    assert chains.longest == 64 * 256 // 32


def test_spread_sums_are_as_near_to_the_true_ones(monkeypatch):
    q, x, mask = half_padding_and_one_popular_code()
    exact = torch.lerp(q.embedding_sum[0].double(), x.double()[:, :, :256].sum(dim=(0, 2)), 1 - q.decay)
    errors = {}
    for kind in ("cpu", "cuda"):
        monkeypatch.setitem(module.BINS, "cpu", module.BINS[kind])
        q, x, mask = half_padding_and_one_popular_code()
        q(x, mask)
        errors[kind] = (q.embedding_sum[0] - exact).abs().max()
        torch.testing.assert_close(q.embedding_sum[0].double(), exact, rtol=1e-5, atol=1e-5)
    assert errors["cuda"] <= errors["cpu"]


def test_evaluation_changes_nothing():
    q = quantizer().eval()
    before = buffers(q)
    q(*batch())
    assert all(torch.equal(x, before[name]) for name, x in q.named_buffers())
    assert not list(q.parameters())
    assert set(q.state_dict()) == {"codebook", "cluster_size", "embedding_sum"}


@pytest.mark.parametrize("filling", [0.0, 1e6, float("nan")])
@pytest.mark.parametrize("more", [0, 7])
def test_padding_changes_nothing(filling, more):
    x, mask = batch()
    reference, q = quantizer().train(), quantizer().train()
    expected = reference(x, mask)
    padded = torch.nn.functional.pad(torch.where(mask[:, None], x, filling), (0, more), value=filling)
    found = q(padded, torch.nn.functional.pad(mask, (0, more)))
    torch.testing.assert_close(found.commitment_loss, expected.commitment_loss)
    assert torch.equal(found.counts, expected.counts)
    assert torch.equal(found.codes[:, :T][mask], expected.codes[mask])
    for (name, a), b in zip(q.named_buffers(), reference.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7, msg=name)


def test_no_valid_frame_leaves_the_loss_zero():
    x, mask = batch()
    out = quantizer().train()(x, torch.zeros_like(mask))
    assert out.commitment_loss == 0
    assert out.counts.sum() == 0


def test_gradient_passes_straight_through_and_commits():
    q = quantizer(commitment_weight=0.25).train()
    x, mask = batch()
    x.requires_grad_()
    codebook = q.codebook.clone()
    out = q(x, mask)
    upstream = torch.randn(x.shape)
    ((out.vectors * upstream).sum() + out.commitment_loss).backward()
    difference = (x.detach() - codebook[out.codes].transpose(1, 2)) * mask[:, None]
    torch.testing.assert_close(x.grad, upstream + 0.25 * 2 * difference / (mask.sum() * C))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_frames_that_are_not_finite_leave_the_codebook_and_show_in_the_loss(bad):
    q = quantizer().train()
    before = buffers(q)
    x, mask = batch()
    x[1, 2, 3] = bad
    assert not q(x, mask).commitment_loss.isfinite()
    assert all(torch.equal(a, before[name]) for name, a in q.named_buffers())


def test_autocast_and_fast_matrix_products_change_no_code():
    x, mask = batch()
    expected_q, q = quantizer().train(), quantizer().train()
    expected = expected_q(x, mask)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        flag = torch.backends.mkldnn.matmul.fp32_precision
        with torch.autocast("cpu", torch.bfloat16):
            found = q(x, mask)
        assert torch.backends.mkldnn.matmul.fp32_precision == flag
    finally:
        torch.set_float32_matmul_precision(before)
    assert torch.equal(found.codes, expected.codes)
    assert found.vectors.dtype == found.commitment_loss.dtype == torch.float32
    assert all(torch.equal(a, b) for a, b in zip(q.buffers(), expected_q.buffers(), strict=True))


def test_half_precision_frames_get_their_gradient():
    x, mask = batch()
    x = x.bfloat16().requires_grad_()
    quantizer().train()(x, mask).vectors.sum().backward()
    assert x.grad.dtype == torch.bfloat16
    assert (x.grad == 1).all()


def test_initial_codebook():
    settings = QuantizerModel(init_std=2.0, init_mass=3.0, init_nonnegative=True)
    q = Quantizer(4, 4000, settings)
    assert q.codebook.min() == 0
    assert q.codebook[q.codebook > 0].square().mean().sqrt() == pytest.approx(2, rel=0.05)
    assert (q.cluster_size == 3).all()
    assert torch.equal(q.embedding_sum, 3 * q.codebook)
    assert Quantizer(4, 400, QuantizerModel()).codebook.min() < 0


def test_five_sizes_are_not_one():
    sizes = QuantizerModel(codebook_size=(1, 2, 3, 4, 5))
    assert [codebook_size(sizes, n) for n in range(1, 6)] == [1, 2, 3, 4, 5]
    assert codebook_size(QuantizerModel(codebook_size=7), 3) == 7
    message = r"^codebook_size: must be a positive whole number up to [0-9]+, or a list of 5 of them"
    for wrong in ("[1, 2]", "0", "[1, 2, 3, 4, 0]", "true", '"x"'):
        with pytest.raises(InputError, match=message):
            QuantizerModel.from_json(f'{{"codebook_size": {wrong}}}')
    assert QuantizerModel.from_json(sizes.model_dump_json()) == sizes
