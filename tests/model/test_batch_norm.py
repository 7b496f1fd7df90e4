"""Batch normalization over several processes, here parts of one: the arithmetic without the exchange."""

from functools import partial
from threading import Barrier, Thread

import pytest
import torch
from torch import nn

from resdavenet_vq.model.batch_norm import BatchNorm2d
from resdavenet_vq.training import distributed


def filled(norm):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        norm.weight.copy_(torch.rand(3, generator=generator) + 0.5)
        norm.bias.copy_(torch.randn(3, generator=generator))
    return norm


def batch(n=7, dtype=torch.float64):
    generator = torch.Generator().manual_seed(2)
    x, gradient = (torch.randn(n, 3, 2, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    return (3 * x + 100).to(dtype), gradient.to(dtype)


def passed(norm, x, gradient):
    """Output, gradient, and what the module has afterwards."""
    x = x.clone().requires_grad_()
    y = norm(x)
    y.backward(gradient)
    return y.detach(), x.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var


class Sum:
    """Sums over threads, each of which is a process."""

    def __init__(self, n):
        self.barrier, self.parts = Barrier(n), [None] * n

    def __call__(self, number, x):
        self.parts[number] = x
        self.barrier.wait(30)
        total = torch.stack(self.parts).sum(dim=0)
        self.barrier.wait(30)
        return total


@pytest.mark.parametrize("sizes", [(7,), (4, 3), (5, 1, 1), (7, 0)])
def test_parts_of_a_batch_are_normalized_as_the_whole(sizes):
    """Also a process that has no part. Float32 has seven digits, and a mean of 100 costs two."""
    x, gradient = batch(dtype=torch.float32)
    expected = passed(filled(nn.BatchNorm2d(3).double()), x.double(), gradient.double())
    add, norms, results = Sum(len(sizes)), [filled(BatchNorm2d(3)) for _ in sizes], [None] * len(sizes)
    parts = list(zip(x.split(sizes), gradient.split(sizes), strict=True))

    def one(number):
        norms[number].reduce_statistics = partial(add, number)
        results[number] = passed(norms[number], *parts[number])

    threads = [Thread(target=one, args=(number,)) for number in range(len(sizes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    y, to_x, to_weight, to_bias, _, _ = zip(*results, strict=True)
    values = torch.cat(y), torch.cat(to_x), sum(to_weight), sum(to_bias)
    for value, truth in zip(values, expected, strict=False):
        torch.testing.assert_close(value.double(), truth, rtol=1e-5, atol=3e-5)
    for norm in norms:  # equal in all
        torch.testing.assert_close(norm.running_mean.double(), expected[4], rtol=1e-6, atol=0)
        torch.testing.assert_close(norm.running_var.double(), expected[5], rtol=1e-5, atol=0)
        assert norm.num_batches_tracked == 1


def test_bfloat16_has_statistics_of_float32():
    x, gradient = batch(dtype=torch.bfloat16)
    expected = passed(filled(nn.BatchNorm2d(3)), x, gradient)
    norm = filled(BatchNorm2d(3))
    norm.reduce_statistics = distributed.summed
    for value, truth in zip(passed(norm, x, gradient), expected, strict=True):
        assert value.dtype == truth.dtype
        torch.testing.assert_close(value, truth, rtol=1e-2 if value.dtype == torch.bfloat16 else 1e-5, atol=1e-4)


def test_it_is_compiled_without_a_break():
    """The exchange is one operation for the compiler."""
    x, gradient = batch(dtype=torch.float32)
    norm = filled(BatchNorm2d(3))
    norm.reduce_statistics = distributed.summed
    expected = [value.clone() for value in passed(norm, x, gradient)]
    norm = filled(BatchNorm2d(3))
    norm.reduce_statistics = distributed.summed
    norm.compile(fullgraph=True, dynamic=False, backend="aot_eager")
    for value, truth in zip(passed(norm, x, gradient), expected, strict=True):
        torch.testing.assert_close(value, truth)


def test_a_process_without_a_part_keeps_its_own_statistics():
    norm = BatchNorm2d(3)
    x = torch.zeros(0, 3, 2, 5, requires_grad=True)
    assert norm(x).shape == x.shape
    assert norm.running_mean.tolist() == [0, 0, 0]
    norm.eval()
    torch.testing.assert_close(norm(torch.ones(1, 3, 1, 1)), torch.ones(1, 3, 1, 1), rtol=0, atol=1e-5)
