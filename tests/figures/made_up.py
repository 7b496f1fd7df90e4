"""Results of made-up scores, without a folder."""

from pathlib import Path

import pandas as pd

from resdavenet_vq.evaluation.summary import COLUMNS, DIFFERENCE_COLUMNS, SPREAD_KEYS
from resdavenet_vq.results import Results

LOW, HIGH = 0.9, 1.25
"""Of intervals, as shares of the mean."""

KEYS = {
    "recall": ("retrieval", "mean", "recall_at_10"),
    "chance_recall": ("retrieval", "image_to_speech", "chance_recall_at_10"),
    "within": ("abx", "within", "error"),
    "across": ("abx", "across", "error"),
    "bits": ("bitrate", "plain", "bits_per_second"),
    "units": ("bitrate", "segment", "units_per_second"),
    "words": ("words", "published", "words_above_f1"),
    "expected_words": ("words", "published", "expected_words_above_f1"),
    "held_out": ("words", "held_out", "words_above_f1"),
    "chance_words": ("words", "published", "chance_words_above_f1"),
}


def rows(lineage, layer, split="test", **numbers):
    """Rows of scores.csv, one for each seed."""
    return [
        dict.fromkeys(COLUMNS, "")
        | {"lineage": lineage, "seed": seed, "task": task, "layer": "" if task == "retrieval" else layer}
        | {"split": split, "condition": condition, "score": score, "value": float(value)}
        for name, values in numbers.items()
        for task, condition, score in [KEYS[name]]
        for seed, value in enumerate(values)
    ]


def made_up_results(scores, thresholds=(), bounded=(), differences=()):
    """Results with these scores; the means of the lineages `bounded` have intervals from LOW to HIGH."""
    means = scores.groupby(list(SPREAD_KEYS), sort=False)["value"].mean().rename("mean").reset_index()
    has = means["lineage"].isin(list(bounded))
    comparison = means.assign(low=(LOW * means["mean"]).where(has), high=(HIGH * means["mean"]).where(has))
    results = Results(Path("nowhere"), (), Path("nowhere"))
    columns = list(DIFFERENCE_COLUMNS)
    tables = {"scores": scores, "comparison": comparison, "differences": pd.DataFrame(differences, columns=columns)}
    results.__dict__.update(
        tables | {"conditions": lambda _: [{"f1_threshold": threshold} for threshold in thresholds]}
    )
    return results
