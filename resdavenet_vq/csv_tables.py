"""Tables that the pipeline wrote (CSV), read and checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation.score_schema import LARGEST
from resdavenet_vq.files import open_regular


def read_table(file: Path) -> pd.DataFrame:
    """A table as it is; empty cells are NaN. Raises InputError for a file that is none."""
    try:
        with open_regular(file) as opened:
            return pd.read_csv(opened, keep_default_na=False, na_values=[""], low_memory=False)  # NA and NULL are words
    except pd.errors.EmptyDataError:
        raise InputError(f"{file}: not a table (it is empty)") from None
    except (OSError, ValueError, OverflowError) as e:
        raise InputError(f"{file}: not a table ({e})") from None


def check_table(
    file: Path,
    table: pd.DataFrame,
    required: Sequence[str],
    *,
    numbers: Sequence[str],
    flags: Sequence[str] = (),
    remedy: str,
) -> None:
    """Raises InputError unless the columns are there, and hold what they should: numbers may be empty, flags not."""
    if missing := [name for name in required if name not in table]:
        raise InputError(f"{file}: has no column {missing[0]!r}; {remedy}")
    for name in [name for name in numbers if name in table and len(table)]:
        column = table[name]
        if not is_numeric_dtype(column) or is_bool_dtype(column) or (column.abs() > LARGEST).any():
            raise InputError(f"{file}: column {name!r} has other values than finite numbers; {remedy}")
    for name in flags:
        if len(table) and not is_bool_dtype(table[name]):
            raise InputError(f"{file}: column {name!r} has other values than True and False; {remedy}")
