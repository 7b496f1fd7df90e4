"""ABX error in loops: every triple, every path, exact arithmetic on times; slow and obvious."""

import math
from collections import defaultdict
from fractions import Fraction
from itertools import permutations, product

import numpy as np


def angular(x, y):
    cosine = sum(a * b for a, b in zip(x, y, strict=True)) / (math.hypot(*x) * math.hypot(*y))
    return math.acos(max(-1.0, min(1.0, cosine))) / math.pi


def euclidean(x, y):
    return math.dist(x, y)


def identical(x, y):
    return float(list(x) != list(y))


def dtw(x, y, distance):
    """Sum of distances on the cheapest path over its number of steps; among equals from the diagonal, then from y's last frame."""
    best = {}
    for i, j in product(range(len(x)), range(len(y))):
        before = [best[p] for p in ((i - 1, j - 1), (i, j - 1), (i - 1, j)) if p in best]
        cost, steps = min(before, key=lambda b: b[0]) if before else (0.0, 0)
        best[i, j] = (cost + distance(x[i], y[j]), steps + 1)
    cost, steps = best[len(x) - 1, len(y) - 1]
    return cost / steps


def frames_of(onset, offset, period, n_frames):
    """Numbers of the frames whose times lie in the item, or the last one for an item wholly beyond it."""
    onset, offset, period = Fraction(onset), Fraction(offset), Fraction(period)
    inside = [f for f in range(n_frames) if onset <= (f + Fraction(1, 2)) * period <= offset]
    return inside or [n_frames - 1]


def abx(tokens, distance):
    """(within, across) in percent; None without triples. `tokens`: (frames, phone, previous, following, speaker)."""
    d = {}
    for (i, a), (j, b) in permutations(enumerate(tokens), 2):
        if a[2:4] == b[2:4]:
            d[i, j] = dtw(a[0], b[0], distance)
    by_context = defaultdict(list)
    for i, token in enumerate(tokens):
        by_context[token[2:4]].append(i)
    cells = {"within": defaultdict(list), "across": defaultdict(list)}
    for context, members in by_context.items():
        for a, b, x in permutations(members, 3):
            (_, phone_a, *_, speaker_a), (_, phone_b, *_, speaker_b), (_, phone_x, *_, speaker_x) = tokens[a], tokens[b], tokens[x]
            if phone_a != phone_x or phone_a == phone_b or speaker_a != speaker_b:
                continue
            wrong = 1.0 if d[x, a] > d[x, b] else 0.5 if d[x, a] == d[x, b] else 0.0
            kind = "within" if speaker_x == speaker_a else "across"
            cells[kind][phone_a, phone_b, speaker_a, context, speaker_x].append(wrong)
    return tuple(_collapse(cells[kind]) for kind in ("within", "across"))


def _collapse(cells):
    """Means over contexts (and, across, over the speakers of X with their contexts), then speakers, then pairs of phones."""
    if not cells:
        return None
    level = {key: np.mean(wrong) for key, wrong in cells.items()}
    for keep in (3, 2, 0):
        groups = defaultdict(list)
        for key, value in level.items():
            groups[key[:keep]].append(value)
        level = {key: np.mean(values) for key, values in groups.items()}
    return 100 * float(level[()])
