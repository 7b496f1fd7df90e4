"""What a finished training says about its length: whether R@10 was still rising when it ended."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resdavenet_vq.training.schedule import Schedule

WINDOW = 5
"""The most epochs whose mean R@10 is compared with that of as many epochs before them: less noise than two epochs."""

SMALLEST_CHANGE = 0.01
"""One point of R@10: a smaller change is none."""

LONGER = 1.5
"""What to try where R@10 was still rising: so many times the length."""


def advice(recalls: Sequence[float], n_pairs: int, schedule: Schedule) -> str:
    """One line about R@10 (shares) after each epoch, on `n_pairs` validation pairs, and what to change.

    A change counts where it is larger than its standard error: that of a difference of two means of independent
    shares of `n_pairs` pairs, an upper bound, as one and the same pairs are compared.
    """
    window = min(WINDOW, len(recalls) // 3)
    key, length = ("steps", schedule.total) if schedule.training.steps else ("epochs", schedule.epochs)
    longer = f"training.{key} {length} -> {math.ceil(length * LONGER)}"
    best = recalls.index(max(recalls)) + 1
    if schedule.is_out_of_patience(recalls):
        since = f"R@10 has not risen for {len(recalls) - best} epochs"
        return f"{since}, so the training ended early, after epoch {len(recalls)}; the model is that of epoch {best}"
    if len(recalls) < 4:
        few = "1 epoch is too short" if len(recalls) == 1 else f"{len(recalls)} epochs are too few"
        return f"{few} to tell whether R@10 was still rising; compare a longer training ({longer})"
    last, before = (sum(part) / window for part in (recalls[-window:], recalls[-2 * window : -window]))
    change, middle = last - before, (last + before) / 2
    error = math.sqrt(2 * middle * (1 - middle) / (n_pairs * window))
    over = (
        f"from the mean of the {window} before to that of the last {window} epochs"
        if window > 1
        else "in the last epoch"
    )
    what = f"{100 * change:+.1f} points, {over}"
    chance = f"{n_pairs} validation pairs give a standard error of {100 * error:.1f}"
    if change > max(error, SMALLEST_CHANGE):
        return f"R@10 was still rising at the end ({what}; {chance}): train longer ({longer})"
    if change < -max(error, SMALLEST_CHANGE):
        return (
            f"R@10 fell at the end ({what}; {chance}); the model is that of epoch {best}: this training was long enough, "
            "and more pairs or training.augmentation may raise it"
        )
    return f"R@10 was no longer rising at the end ({what}; {chance}); the model is that of epoch {best}"
