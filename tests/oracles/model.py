"""Slow, obvious twins of what the model computes: loops, float64, no tricks."""

import numpy as np


def nearest(frames, codebook):
    """The code of each frame (N, C): of all at the smallest squared distance, the first."""
    return np.array([min(range(len(codebook)), key=lambda k: (np.sum((x - codebook[k]) ** 2), k)) for x in frames])


def moved_codebook(frames, codes, cluster_size, embedding_sum, decay=0.99, epsilon=1e-8):
    """One update of the moving averages by valid frames (N, C): the new cluster sizes, sums and codebook."""
    size, total_of = cluster_size.astype(np.float64), embedding_sum.astype(np.float64)
    for k in range(len(size)):
        own = [x for x, code in zip(frames, codes, strict=True) if code == k]
        size[k] = decay * size[k] + (1 - decay) * len(own)
        total_of[k] = decay * total_of[k] + (1 - decay) * sum(own, np.zeros(frames.shape[1]))
    n = size.sum()
    size = (size + epsilon) / (n + len(size) * epsilon) * n
    return size, total_of, total_of / size[:, None]


def commitment(frames, codes, codebook):
    """The mean over frames and channels of the squared difference to the code."""
    return np.mean([(x - codebook[code]) ** 2 for x, code in zip(frames, codes, strict=True)])


def perplexity(codes):
    """Two to the power of the entropy, in bits, of the codes' histogram."""
    _, counts = np.unique(codes, return_counts=True)
    p = counts / counts.sum()
    return 2 ** -sum(q * np.log2(q) for q in p)


def normalized(logmel, n_frames, smallest=0.1):
    """(B, M, T), band by band in float64; padding is 0."""
    result = np.zeros(logmel.shape)
    for b, n in enumerate(n_frames):
        for band, values in enumerate(np.asarray(logmel[b], np.float64)):
            mean = sum(values[:n]) / n
            deviation = (sum((values[:n] - mean) ** 2) / n) ** 0.5
            result[b, band, :n] = (values[:n] - mean) / max(deviation, smallest)
    return result
