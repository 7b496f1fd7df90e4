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


def segments_of(onset, offset, duration, n_segments):
    """Numbers of the segments that stand in the item, number i at i/n of the audio, or of the one that stands at its onset."""
    onset, offset, duration = Fraction(onset), Fraction(offset), Fraction(duration)
    at = [i * duration / n_segments for i in range(n_segments)]
    inside = [i for i, time in enumerate(at) if onset <= time <= offset]
    return inside or [max(i for i, time in enumerate(at) if time <= onset)]


def without_repeats(frames):
    """The frames that differ from the one before them."""
    return [row for i, row in enumerate(frames) if i == 0 or list(row) != list(frames[i - 1])]


def anywhere(tokens):
    """The tokens as where no context counts: all in the same one."""
    return [(frames, phone, None, None, speaker) for frames, phone, _, _, speaker in tokens]


def cells(tokens, distance):
    """Every cell of each task, by (phone of A and X, of B, speaker of A and B, context, speaker of X): its share of wrong triples.

    `tokens`: (frames, phone, previous, following, speaker)."""
    d = {}
    for (i, a), (j, b) in permutations(enumerate(tokens), 2):
        if a[2:4] == b[2:4]:
            d[i, j] = dtw(a[0], b[0], distance)
    by_context = defaultdict(list)
    for i, token in enumerate(tokens):
        by_context[token[2:4]].append(i)
    found = {"within": defaultdict(list), "across": defaultdict(list)}
    for context, members in by_context.items():
        for a, b, x in permutations(members, 3):
            (_, phone_a, *_, speaker_a), (_, phone_b, *_, speaker_b), (_, phone_x, *_, speaker_x) = (
                tokens[a],
                tokens[b],
                tokens[x],
            )
            if phone_a != phone_x or phone_a == phone_b or speaker_a != speaker_b:
                continue
            wrong = 1.0 if d[x, a] > d[x, b] else 0.5 if d[x, a] == d[x, b] else 0.0
            kind = "within" if speaker_x == speaker_a else "across"
            found[kind][phone_a, phone_b, speaker_a, context, speaker_x].append(wrong)
    return {kind: {key: float(np.mean(wrong)) for key, wrong in of_kind.items()} for kind, of_kind in found.items()}


def abx(tokens, distance):
    """(within, across) in percent; None without triples."""
    found = cells(tokens, distance)
    return tuple(_collapse(found[kind]) for kind in ("within", "across"))


def by_phones(found):
    """The error in percent of each pair of phones, from the cells of one task."""
    pairs = {key[:2] for key in found}
    return {pair: _collapse({key: wrong for key, wrong in found.items() if key[:2] == pair}) for pair in pairs}


def _collapse(cells):
    """Means over contexts (and, across, over the speakers of X with their contexts), then speakers, then pairs of phones."""
    if not cells:
        return None
    level = dict(cells)
    for keep in (3, 2, 0):
        groups = defaultdict(list)
        for key, value in level.items():
            groups[key[:keep]].append(value)
        level = {key: np.mean(values) for key, values in groups.items()}
    return 100 * float(level[()])
