"""Slow, obvious twins of the scorers: loops over items, frames and tokens, in the words of the method."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction


def recalls(S, image_of, k):
    """(image to speech, speech to image) R@k: sort every row and column stably, look for a right answer among the first k."""
    n_images, n_captions = S.shape
    image_to_speech = speech_to_image = 0
    for i in range(n_images):
        # of equal right answers and wrong ones, the smaller index comes first
        order = sorted(range(n_captions), key=lambda j: (-S[i, j], j))
        wrong_before = 0
        for j in order:
            if image_of[j] == i:
                break
            wrong_before += 1
        image_to_speech += wrong_before < k
    for j in range(n_captions):
        order = sorted(range(n_images), key=lambda i: (-S[i, j], i))
        speech_to_image += order.index(image_of[j]) < k
    return image_to_speech / n_images, speech_to_image / n_captions


def ties(S, image_of):
    """How many queries of each direction have a wrong item that scores exactly as much as their best right one."""
    n_images, n_captions = S.shape
    tied_images = tied_captions = 0
    for i in range(n_images):
        best = max(S[i, j] for j in range(n_captions) if image_of[j] == i)
        tied_images += any(S[i, j] == best for j in range(n_captions) if image_of[j] != i)
    for j in range(n_captions):
        right = S[image_of[j], j]
        tied_captions += any(S[i, j] == right for i in range(n_images) if i != image_of[j])
    return tied_images, tied_captions


SILENCE = "<SIL>"


def centers(n_frames, period, frame_time):
    return [(f + 0.5) * period if frame_time == "published" else f * period for f in range(n_frames)]


def word_counts(utterances, period, half_window, frame_time="published"):
    """(frames by code, frames by (word, code), tokens by word, tokens by (word, code)) of [(codes, [(start, end, word)])]."""
    frames, touched, tokens, hit = Counter(), Counter(), Counter(), Counter()
    shift = 0 if frame_time == "published" else 0.5
    for codes, words in utterances:
        for code, center in zip(codes, centers(len(codes), period, frame_time), strict=True):
            begin, end = center - half_window, center + half_window
            frames[code] += 1
            for word in {w for s, e, w in words if not begin > e and end > s} or {SILENCE}:
                touched[word, code] += 1
        for start, end, word in words:
            tokens[word] += 1
            for code in set(codes[math.floor(start / period + shift) : math.ceil(end / period + shift)]):
                hit[word, code] += 1
    return frames, touched, tokens, hit


def word_to_code(counts, stop_words):
    """{word: [(code, f1, precision, recall, hits)]}, best first, over the codes that occur in a token of the word."""
    frames, touched, tokens, hit = counts
    table = {word: [] for word, _ in hit}
    for (word, code), n in hit.items():
        precision = 0 if word in stop_words else touched[word, code] / frames[code]
        recall = n / tokens[word]
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0
        table[word].append((code, f1, precision, recall, n))
    return {word: sorted(rows, key=lambda r: (-r[1], -r[4], r[0])) for word, rows in table.items()}


def code_to_word(counts, stop_words):
    """{code: [(word, precision, frames)]}, most precise first, with <SIL> and without stop words."""
    frames, touched, _, _ = counts
    table = {code: [] for code in frames}
    for (word, code), n in touched.items():
        if word not in stop_words:
            table[code].append((word, n / frames[code], n))
    return {code: sorted(rows, key=lambda r: (-r[1], r[0])) for code, rows in table.items() if rows}


def runs(codes):
    """[(first frame, length, code)] of one utterance."""
    found = []
    for f, code in enumerate(codes):
        if found and found[-1][2] == code:
            found[-1] = (found[-1][0], found[-1][1] + 1, code)
        else:
            found.append((f, 1, code))
    return found


def frame_labels(n_frames, intervals, period, frame_time="published"):
    """The label of each frame's centre; None for silence."""
    labels = []
    for center in centers(n_frames, period, frame_time):
        inside = [label for start, end, label in intervals if start <= center < end]
        labels.append(inside[-1] if inside else None)
    return labels


def most_matches(found, reference, tolerance):
    """The largest number of one-to-one matches, trying everything."""
    if not found:
        return 0
    best = most_matches(found[1:], reference, tolerance)
    for i, r in enumerate(reference):
        if abs(found[0] - r) <= tolerance + 1e-6:
            best = max(best, 1 + most_matches(found[1:], reference[:i] + reference[i + 1 :], tolerance))
    return best


def most_token_matches(segments, tokens, tolerance):
    """The largest number of one-to-one matches of (begin, end), both at most the tolerance away, trying everything."""
    if not segments:
        return 0
    (begin, end), rest = segments[0], segments[1:]
    best = most_token_matches(rest, tokens, tolerance)
    for i, token in enumerate(tokens):
        if abs(begin - token[0]) <= tolerance + 1e-6 and abs(end - token[1]) <= tolerance + 1e-6:
            best = max(best, 1 + most_token_matches(rest, tokens[:i] + tokens[i + 1 :], tolerance))
    return best


def areas(segments, tokens, period):
    """The number of covered tokens and the IoU of each token and segment that have one, in fractions, pair by pair."""
    covered, ious = 0, []
    half = exact(period) / 2
    for token_begin, token_end in tokens:
        a, b = exact(token_begin), exact(token_end)
        has_segment = False
        for begin, end in segments:
            c, d = exact(begin), exact(end)
            middle = (c + d) / 2
            if max(middle - half, a) < min(middle + half, b):
                has_segment = True
                if c >= a and d <= b:
                    ious.append((d - c) / (b - a))
                elif c < a and d <= b and d - a >= a - c:
                    ious.append((d - a) / (b - c))
                elif c >= a and d > b and b - c >= d - b:
                    ious.append((b - c) / (d - a))
        covered += has_segment
    return covered, ious


def exact(seconds):
    """Microseconds."""
    return Fraction(round(seconds * 1e6))
