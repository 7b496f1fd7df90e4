"""The ABX error from scored cells, and where it comes from: pairs of phones, pairs of speakers.

Errors are averaged over the cells (contexts, and across speakers also the speakers of X) of a speaker of A and B, then over
these speakers, then over pairs of phones, as in the ZeroSpeech challenges. So each cell has a weight in the error:
1 / (pairs of phones x speakers of its pair x cells of its pair and speaker). The error of any group of cells is their mean by these
weights, and the mean of the groups, each by the sum of its weights, is the error again. All pairs of phones weigh the same.
"""

from __future__ import annotations

import polars as pl

PHONES = ("#phone", "#phone_b")


def weighted(cells: pl.DataFrame) -> pl.DataFrame:
    """Cells with two more columns: `error` in percent, and `weight`, which sums to 1."""
    of_speaker = [*PHONES, "speaker"]
    return cells.with_columns(
        error=100 * pl.col("score").cast(pl.Float64),
        weight=1
        / (pl.struct(PHONES).n_unique() * pl.col("speaker").n_unique().over(PHONES) * pl.len().over(of_speaker)),
    )


def mean(cells: pl.DataFrame) -> float:
    """The error of weighted cells, in percent."""
    return float(cells.select(pl.col("error").dot("weight") / pl.col("weight").sum()).item())


def by_phones(cells: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """A row for each ordered pair of phones: the mean of the column `within_error` is the error within, likewise across.

    Columns `phone_ax`, `phone_b`, `within_error`, `within_cells`, `across_error`, `across_cells`; errors are in percent,
    and empty where the task has no cell of the pair.
    """
    tables = [
        _grouped(cells[task], *PHONES).select(
            *PHONES, pl.col("error").alias(f"{task}_error"), pl.col("cells").alias(f"{task}_cells")
        )
        for task in ("within", "across")
        if task in cells
    ]
    table = tables[0] if len(tables) == 1 else tables[0].join(tables[1], on=PHONES, how="full", coalesce=True)
    missing = [
        pl.lit(value, kind).alias(f"{task}_{name}")
        for task in ("within", "across")
        if task not in cells
        for name, value, kind in (("error", None, pl.Float64), ("cells", 0, pl.UInt32))
    ]
    return (
        table.with_columns(missing)
        .with_columns(pl.col("within_cells", "across_cells").fill_null(0))
        .select(
            pl.col("#phone").alias("phone_ax"),
            pl.col("#phone_b").alias("phone_b"),
            *("within_error", "within_cells", "across_error", "across_cells"),
        )
        .sort("phone_ax", "phone_b")
    )


def by_speakers(cells: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """A row for each speaker of A and B and each of X; the rows in which they are one speaker make up the error within.

    Columns `speaker_ab`, `speaker_x`, `error` in percent, `weight` and `cells`. Weights sum to 1 over the rows of one speaker,
    and to 1 over those of two: the mean of the errors by their weights is the error within, or across.
    """
    tables = [
        _grouped(
            table if "speaker_x" in table.columns else table.with_columns(speaker_x="speaker"), "speaker", "speaker_x"
        )
        for table in cells.values()
    ]
    return pl.concat(tables).rename({"speaker": "speaker_ab"}).sort("speaker_ab", "speaker_x")


def _grouped(cells: pl.DataFrame, *keys: str) -> pl.DataFrame:
    """Error, weight and number of the weighted cells of each group."""
    weight = pl.col("weight").sum()
    return cells.group_by(keys).agg(error=pl.col("error").dot("weight") / weight, weight=weight, cells=pl.len())
