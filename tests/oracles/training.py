"""Slow, obvious twins of what training computes."""

import numpy as np


def sampled_triplet(S, impostors, margin):
    n = len(S)
    if n == 1:
        return 0.0
    return sum(max(0.0, S[i, impostors[i]] - S[i, i] + margin) for i in range(n)) / n


def semi_hard_triplet(S, margin, variant):
    n = len(S)
    if n == 1:
        return 0.0
    total = 0.0
    for i in range(n):
        admissible = [S[i, j] for j in range(n) if S[i, j] < S[i, i]]
        if variant == "published":
            admissible += [0.0] * (n - len(admissible))  # never empty: the true pair itself is excluded
        if admissible:
            total += max(0.0, max(admissible) - S[i, i] + margin)
    return total / n


def matchmap_similarity(maps, frames, n_frames, kind):
    S = np.zeros((len(maps), len(frames)))
    for i, image in enumerate(maps):
        for j, caption in enumerate(frames):
            match = np.einsum("dhw,dt->hwt", image.astype(float), caption[:, : max(1, n_frames[j])].astype(float))
            S[i, j] = {"SISA": match.mean(), "MISA": match.max((0, 1)).mean(), "SIMA": match.max(2).mean()}[kind]
    return S


def learning_rate(base, epoch):
    return base * 0.95 ** (epoch // 3)
