"""The tables of scores: their columns, how they are read, a pivot for people and the spread over seeds.

`scores.csv` has the columns COLUMNS. The first eight are the key of a score: corpus, lineage in notation (`raw log-mel`
for the baseline), seed of the training (empty for imported models and the baseline), and then

=================  ========  ===================================  ======================================================
task               layer     condition                            score
=================  ========  ===================================  ======================================================
retrieval          (none)    image_to_speech, speech_to_image,    recall_at_K, chance_recall_at_K, median_rank (not of
                             mean                                 the mean); `retrieval_sisa` ... are by the matchmap
abx                quant2 …  within, across, phoneme_within ...   error, in percent
bitrate            quant2 …  plain, run_length, factored,         bits_per_second; of segment also units_per_second
                             segment
words              quant2 …  published, held_out                  words, words_above_f1, expected_words_above_f1,
                                                                  mean_f1, chance_words ...; of published also
                                                                  words_above_precision
units              quant2 …  (none), words, phones, syllables     perplexity, codes_used, top_share; purity,
                                                                  boundaries_f1, tokens_f1, area_a_score ...
layer              quant2 …  (none)                               frame_period, in seconds
=================  ========  ===================================  ======================================================

`split` is the split that is scored: of published words and of units that on which codes are chosen, of `layer` none.
`value` is the score (shares of 1 unless said otherwise), `low` and `high` bound its 95 % interval (`bootstrap`: over
utterances; of ABX over speakers and contexts) where there is one, `n` counts what it is about: queries, items used, utterances. `summary.csv` is a pivot of it for people: a row for each
lineage, seed and layer, a column for each task, split, condition and score. `comparison.csv` has the spread of each
score over seeds, `differences.csv` those of every two systems (`comparison`), `noise.csv` the scores of splits and of their noisy copies with what was added to them.

Rows begin with the baseline, then come the lineages in the order of the files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from resdavenet_vq.errors import InputError, listed
from resdavenet_vq.evaluation.score_schema import LARGEST
from resdavenet_vq.files import atomic_write, open_regular

KEYS = ("corpus", "lineage", "seed", "task", "layer", "split", "condition", "score")
COLUMNS = (*KEYS, "value", "low", "high", "n")
NOISE_COLUMNS = (*COLUMNS, "clean_split", "kind", "snr_db")
SPREAD_KEYS = tuple(name for name in KEYS if name != "seed")
SPREAD = ("mean", "std", "min", "max", "n")
SPREAD_COLUMNS = (*SPREAD_KEYS, "seeds", *SPREAD, "low", "high")
DIFFERENCE_KEYS = (*(name for name in SPREAD_KEYS if name != "lineage"), "first", "second")
DIFFERENCE_COLUMNS = (*DIFFERENCE_KEYS, "value", "low", "high")

IMAGE_TO_SPEECH, SPEECH_TO_IMAGE, MEAN = "image_to_speech", "speech_to_image", "mean"
PUBLISHED, HELD_OUT = "published", "held_out"
CLEAN = "clean"
"""The `kind` of a split without noise."""


def pivot(scores: pd.DataFrame) -> pd.DataFrame:
    """A row for each lineage, seed and layer; columns like `words test held_out mean_f1`."""
    parts = scores[["task", "split", "condition", "score"]].itertuples(index=False, name=None)
    columns = [" ".join(filter(None, names)) for names in parts]
    named = scores.assign(seed=scores["seed"].astype("string").fillna(""), column=columns)
    return named.pivot_table("value", ["lineage", "seed", "layer"], "column", aggfunc="first", sort=False)


def write(table: pd.DataFrame, out: Path) -> None:
    """A table as CSV, numbers with all their digits."""
    with atomic_write(out) as tmp:
        table.to_csv(tmp, index=table.index.name is not None or table.index.nlevels > 1, lineterminator="\n")


def read_scores(path: Path) -> pd.DataFrame:
    """A `scores.csv`: `seed` and `n` are Int64, `value`, `low` and `high` float64, the rest text, "" where empty.

    Raises InputError naming the file and what is wrong with it, as do the others.
    """
    return _read(path, COLUMNS, KEYS)


def read_comparison(path: Path) -> pd.DataFrame:
    """A `comparison.csv`: `mean`, `std`, `min`, `max`, `low`, `high` are float64, `n` is Int64, the rest text."""
    return _read(path, SPREAD_COLUMNS, SPREAD_KEYS)


def read_differences(path: Path) -> pd.DataFrame:
    """A `differences.csv`: `value`, `low` and `high` are float64, the rest text."""
    return _read(path, DIFFERENCE_COLUMNS, DIFFERENCE_KEYS)


def read_noise(path: Path) -> pd.DataFrame:
    """A `noise.csv`: as `read_scores`, and `snr_db` is float64, NaN without noise."""
    return _read(path, NOISE_COLUMNS, KEYS)


def _read(path: Path, columns: Sequence[str], keys: Sequence[str]) -> pd.DataFrame:
    if not path.exists():
        raise InputError(f"{path}: no such file; run the target `report`, or summarize the scores first")
    try:
        with open_regular(path) as file:
            table = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as e:
        raise InputError(f"{path}: not a table ({e})") from None
    if missing := [name for name in columns if name not in table]:
        raise InputError(f"{path}: has no column {missing[0]!r}; summarize the scores again")
    doubled = table.loc[table.duplicated(list(keys)), list(keys)]
    faults = [
        f"{path}: line {i + 2}: {' '.join(filter(None, key))} is listed twice" for i, *key in doubled.itertuples()
    ]
    for name in {"value", "low", "high", *SPREAD, "snr_db", "seed"}.intersection(columns):
        numbers = table[name].map(_number).astype("float64")
        required = name in {"value", "mean", "min", "max"} or (name == "n" and "mean" in columns)
        is_number = np.isfinite(numbers) & (numbers.abs() <= LARGEST)
        if name in {"seed", "n"}:
            is_number &= numbers == numbers.round()
        bad = table[~is_number & ((table[name] != "") | required)]
        faults += [
            f"{path}: line {line}: {name} is {text!r}, not a {'whole' if name in {'seed', 'n'} else 'finite'} number"
            for line, text in zip(bad.index + 2, bad[name], strict=True)
        ]
        table[name] = numbers
    if faults:
        raise InputError(listed(sorted(faults)))
    return table.astype({name: "Int64" for name in ("seed", "n") if name in columns})


def _number(text: str) -> float:
    """Every digit counts, which is why pandas does not read them."""
    try:
        return float(text)
    except ValueError:
        return math.nan
