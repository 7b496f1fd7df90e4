"""Slow, obvious twins of the baselines: loops over frames, bands and clusters, in double precision."""

from __future__ import annotations


def normalized(features):
    """(T, M): each band of the utterance less its mean, divided by its standard deviation; 0 in a constant band."""
    T, M = len(features), len(features[0])
    result = [[0.0] * M for _ in range(T)]
    for m in range(M):
        band = [float(features[t][m]) for t in range(T)]
        mean = sum(band) / T
        deviation = (sum((x - mean) ** 2 for x in band) / T) ** 0.5
        for t in range(T):
            result[t][m] = 0.0 if min(band) == max(band) else (band[t] - mean) / deviation
    return result


def window(features, f, stride):
    """The values around frame f of a layer: `stride` frames on either side of its center, at a stride of 1 none."""
    sides = stride if stride > 1 else 0
    values = []
    for t in range(stride * f - sides, stride * f + sides + 1):
        values += list(features[min(max(t, 0), len(features) - 1)])
    return values


def squared_distances(frame, centers):
    """From a frame to every center."""
    return [sum((float(x) - float(c)) ** 2 for x, c in zip(frame, center, strict=True)) for center in centers]
