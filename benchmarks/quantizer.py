"""The quantizer's training step: the package against the one-hot matrix, on the same frames.

    python benchmarks/quantizer.py [--frames 32768] [--codes 1024] [--width 256] [--rounds 5] [--threads 1]

A step is forward, the update of the moving averages, and backward. The baseline is the textbook form that the 2020
release has: distances to all codes, a one-hot matrix of frames by codes, and products with it for the code vectors and
for the sums of frames. Both take the same frames and codebook, run in turn, and must assign the same codes. Times are
medians. Memory is the growth of the largest resident set over one step in a fresh process.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
from collections.abc import Callable

import torch
from measuring import measure, row, write
from torch import Tensor, nn
from torch.nn import functional

from resdavenet_vq.config import QuantizerModel
from resdavenet_vq.model.quantizer import Quantizer

UTTERANCES = 32
DECAY, EPSILON = 0.99, 1e-8


class OneHot(nn.Module):
    """The textbook form."""

    def __init__(self, codebook: Tensor) -> None:
        super().__init__()
        self.codebook = codebook.clone()
        self.embedding_sum = codebook.clone()
        self.cluster_size = torch.ones(len(codebook))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Frames (B, C, T) to code vectors, codes and the commitment loss."""
        frames = x.transpose(1, 2).contiguous()
        flat = frames.view(-1, frames.shape[2])
        distances = (flat**2).sum(1, keepdim=True) + (self.codebook**2).sum(1) - 2 * flat @ self.codebook.t()
        codes = distances.argmin(1)
        one_hot = torch.zeros(len(codes), len(self.codebook))
        one_hot.scatter_(1, codes[:, None], 1)
        vectors = (one_hot @ self.codebook).view_as(frames)
        with torch.no_grad():
            size = self.cluster_size * DECAY + (1 - DECAY) * one_hot.sum(0)
            n = size.sum()
            self.cluster_size = (size + EPSILON) / (n + len(size) * EPSILON) * n
            self.embedding_sum = self.embedding_sum * DECAY + (1 - DECAY) * one_hot.t() @ flat
            self.codebook = self.embedding_sum / self.cluster_size[:, None]
        loss = functional.mse_loss(vectors.detach(), frames)
        vectors = frames + (vectors - frames).detach()
        return vectors.transpose(1, 2), codes.view(frames.shape[:2]), loss


def prepared(which: str, frames: int, codes: int, width: int) -> tuple[Callable[[], tuple[Tensor, Tensor]], nn.Module]:
    """One training step as a function giving codes and the frames' gradient, and the module in it."""
    torch.manual_seed(0)
    quantizer = Quantizer(width, codes, QuantizerModel(init_nonnegative=True)).train()
    x = torch.randn(UTTERANCES, frames // UTTERANCES, width).relu().transpose(1, 2).requires_grad_()
    upstream = torch.randn(UTTERANCES, frames // UTTERANCES, width).transpose(1, 2)
    mask = torch.ones(UTTERANCES, frames // UTTERANCES, dtype=torch.bool)
    module = quantizer if which == "package" else OneHot(quantizer.codebook)

    def step() -> tuple[Tensor, Tensor]:
        x.grad = None
        out = module(x, mask) if which == "package" else module(x)
        vectors, assigned, loss = out[:3]
        torch.autograd.backward([vectors, loss], [upstream, torch.ones(())])
        return assigned, x.grad

    return step, module


def memory(which: str, frames: int, codes: int, width: int, threads: int) -> float:
    """MiB that the largest resident set grows by in a step."""
    torch.set_num_threads(threads)
    step, _ = prepared(which, frames, codes, width)
    small, _ = prepared(which, UTTERANCES, 2, 2)
    small()  # the libraries' own buffers
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=32768)
    parser.add_argument("--codes", type=int, default=1024)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    size = (options.frames, options.codes, options.width)
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        mebibytes = {which: pool.apply(memory, (which, *size, options.threads)) for which in ("2020", "package")}

    torch.set_num_threads(options.threads)
    steps = {which: prepared(which, *size) for which in mebibytes}
    (codes, gradient), (codes_here, gradient_here) = (step() for step, _ in steps.values())
    different = int((codes != codes_here).sum())
    torch.testing.assert_close(gradient, gradient_here)
    for name in ("cluster_size", "embedding_sum", "codebook"):
        torch.testing.assert_close(*(getattr(module, name) for _, module in steps.values()), rtol=1e-4, atol=1e-4)
    seconds = measure({which: step for which, (step, _) in steps.items()}, options.rounds)
    saving = round(mebibytes["2020"] / mebibytes["package"], 2)
    rows = [row("quantizer step", seconds), {"what": "quantizer step, memory", "mebibytes": mebibytes, "ratio": saving}]
    print(f"{saving} times less memory; {different} of {options.frames} codes differ")
    sizes = {key: getattr(options, key) for key in ("frames", "codes", "width", "rounds", "threads")}
    write("quantizer", sizes | {"torch": torch.__version__, "rows": rows, "codes_that_differ": different})


if __name__ == "__main__":
    main()
