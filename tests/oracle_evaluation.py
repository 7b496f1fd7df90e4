"""Slow, obvious twins of the scorers: loops over items, frames and tokens, in the words of the method."""

from __future__ import annotations

import math


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
