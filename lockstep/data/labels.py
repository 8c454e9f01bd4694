"""The target as numbered classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lockstep.data.columns import MADE
from lockstep.data.tables import require
from lockstep.errors import DataError


class Labels(NamedTuple):
    """Classes of n rows.

    Attributes
    ----------
    codes : ndarray of int64, shape (n,)
        Number of each row's class.
    classes : tuple of str
        Labels by number: of two classes the positive one is last, of more they are sorted.
    """

    codes: npt.NDArray[np.int64]
    classes: tuple[str, ...]

    def counts(self, rows: npt.NDArray[Any] | slice = slice(None)) -> dict[str, Any]:
        """Counts of `rows` for a report: ``n_rows``, and ``n_positive`` of two classes or ``by_class`` of more."""
        codes = self.codes[rows]
        if len(self.classes) == 2:
            return {"n_rows": len(codes), "n_positive": int(codes.sum())}
        counts = np.bincount(codes, minlength=len(self.classes)).tolist()
        return {"n_rows": len(codes), "by_class": dict(zip(self.classes, counts, strict=True))}


def labels_of(
    table: pa.Table, target: str, positive: str | None, classes: Sequence[str] | None = None
) -> Labels:
    """Number the classes of `target`.

    Parameters
    ----------
    positive
        Label of the positive class of two; None where there are more.
    classes
        Labels that a model of several classes knows; None: those of the table.

    Raises
    ------
    DataError
        The target is missing in the table or in a row; has not two classes, or never holds `positive`; or has fewer
        than three without it, or one that is none of `classes`.
    """
    require(table, [target], "data.target")
    column = table[target]
    if column.null_count:
        raise DataError(f"Target {target!r} is missing in {column.null_count:,} rows. Drop those rows.")
    # Each label once: as objects the labels of ten million rows would take a gigabyte.
    encoded = pa.chunked_array([column.combine_chunks()]).dictionary_encode().combine_chunks()
    used, rows = np.unique(encoded.indices.to_numpy(), return_inverse=True)
    labels = np.array([str(value) for value in encoded.dictionary.take(pa.array(used)).to_pylist()])
    if positive is not None:
        binary = _binary(labels, target, positive)
        return Labels(binary.codes[rows], binary.classes)
    known = np.unique(labels) if not classes else np.array(sorted(classes))
    if len(known) < 3:
        raise DataError(
            f"Target {target!r} has {len(known)} classes and data.positive is null. "
            "Name the positive class there; null is for three classes or more."
        )
    unknown = ~np.isin(labels, known)
    if unknown.any():
        raise DataError(
            f"{int(unknown[rows].sum()):,} rows hold a label of target {target!r} that no training row has. "
            "Correct them at the source, or split otherwise."
        )
    return Labels(np.searchsorted(known, labels)[rows], tuple(map(str, known)))


def _binary(labels: npt.NDArray[np.str_], target: str, positive: str) -> Labels:
    found = np.unique(labels)
    if len(found) != 2:
        raise DataError(
            f"Target {target!r} has {len(found)} classes, and data.positive names one of two. "
            "Set data.positive to null to tell three or more apart, or choose a column of two classes."
        )
    if positive not in found:
        raise DataError(
            f"data.positive is {positive!r}, which target {target!r} never holds. "
            "Write the label as it stands in the table, in quotes."
        )
    negative = next(str(label) for label in found if label != positive)
    return Labels((labels == positive).astype(np.int64), (negative, positive))


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
