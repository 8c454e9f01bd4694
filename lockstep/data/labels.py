"""The target as the positive class and the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lockstep.data.columns import MADE
from lockstep.data.tables import require
from lockstep.errors import DataError


def binary_labels(table: pa.Table, target: str, positive: str) -> npt.NDArray[np.bool_]:
    """Mask of the positive class, shape (n,).

    Raises
    ------
    DataError
        The target is missing in the table or in a row, has not two classes, or never holds `positive`.
    """
    require(table, [target], "data.target")
    column = table[target]
    if column.null_count:
        raise DataError(f"Target {target!r} is missing in {column.null_count:,} rows. Drop those rows.")
    labels = np.array([str(value) for value in column.to_pylist()])
    classes = np.unique(labels)
    if len(classes) != 2:
        raise DataError(
            f"Target {target!r} has {len(classes)} classes; Lockstep trains binary classifiers. "
            "Choose a column of two classes."
        )
    if positive not in classes:
        raise DataError(
            f"data.positive is {positive!r}, which target {target!r} never holds. "
            "Write the label as it stands in the table, in quotes."
        )
    return labels == positive


def flag(table: pa.Table, name: str) -> npt.NDArray[Any]:
    """Values of the boolean column `name`; all false where the table has none."""
    if name not in table.column_names:
        return np.zeros(len(table), dtype=bool)
    return np.asarray(table[name].to_numpy(), dtype=bool)


def refuse_made_rows(table: pa.Table, what: str) -> None:
    """Raise DataError if a sampler made a row of `table`: figures on it would not be about people."""
    made = int(np.sum(flag(table, MADE)))
    if made:
        raise DataError(
            f"{made:,} of the {what} rows were made by a sampler. Only training rows may be resampled."
        )
