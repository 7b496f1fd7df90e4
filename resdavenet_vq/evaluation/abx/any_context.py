"""Cells of the task across speakers in any context, built without listing what is not taken.

Without a context every speaker of a phone may be X for every other one. fastabx lists them all, a cell for each pair of
phones and each pair of speakers with all their tokens, before it takes a few: with a hundred speakers that needs tens of
gigabytes. Here tokens and speakers of X are taken first, by the same shuffles, so that the cells are the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from resdavenet_vq.config import AbxScoring


def across(labels: pl.DataFrame, settings: AbxScoring) -> pl.DataFrame:
    """The cells of items with the columns `#phone` and `speaker`, for `fastabx.Task.from_cells`; perhaps none.

    Columns: `#phone` of A and X, `speaker` of A and B, `#phone_b`, `speaker_x`, and the items' numbers in the lists
    `index_a`, `index_b` and `index_x`. In the order of the first four.
    """
    groups = labels.select("#phone", "speaker").with_row_index().group_by("#phone", "speaker", maintain_order=True)
    tokens = groups.agg(_taken("index", settings.max_size_group, settings.seed))
    speakers = pl.concat(_speakers(tokens, settings))
    a, b, x = (tokens.rename({"index": f"index_{role}"}) for role in "abx")
    return (
        a.join(b, on="speaker", suffix="_b")
        .filter(pl.col("#phone") != pl.col("#phone_b"))
        .join(speakers, on=["#phone", "speaker"])
        .join(x.rename({"speaker": "speaker_x"}), on=["#phone", "speaker_x"])
        .sort("#phone", "speaker", "#phone_b", "speaker_x")
        .with_columns(header=pl.lit(""), description=pl.lit(""))
    )


def _speakers(tokens: pl.DataFrame, settings: AbxScoring) -> Iterator[pl.DataFrame]:
    """Of each phone, the speakers of X (`speaker_x`) of each speaker of A and B."""
    chosen = _taken("speaker_x", settings.max_x_across, settings.seed)
    for _, of_phone in tokens.sort("#phone", "speaker").group_by("#phone", maintain_order=True):
        own = of_phone.select("#phone", "speaker")
        others = own.join(own.select(speaker_x="speaker"), how="cross").filter(pl.col("speaker") != pl.col("speaker_x"))
        yield others.group_by("#phone", "speaker", maintain_order=True).agg(chosen).explode("speaker_x")


def _taken(name: str, most: int | None, seed: int) -> pl.Expr:
    """Of a group's values at most so many, as fastabx's `Subsampler` takes them."""
    return pl.col(name) if most is None else pl.col(name).shuffle(seed).head(most)
