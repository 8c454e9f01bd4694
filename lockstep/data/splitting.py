"""Splits that keep rows of identical features, or of one id, on one side, or that do not look ahead in time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from lockstep.errors import DataError

Mask = npt.NDArray[np.bool_]


def identical(frame: pd.DataFrame, columns: Sequence[str]) -> npt.NDArray[np.int64]:
    """Number of the group of equal rows that each row belongs to, counting missing values as equal; shape (n,)."""
    groups = frame.groupby(list(columns), dropna=False, sort=False, observed=True)
    return np.asarray(groups.ngroup(), dtype=np.int64)


def of_one_id(ids: pd.Series[Any]) -> npt.NDArray[np.int64]:
    """Number of the group of rows with the same id; a row without one is a group of its own; shape (n,)."""
    codes = np.asarray(pd.factorize(ids)[0], dtype=np.int64)
    without = codes < 0
    codes[without] = codes.max(initial=-1) + 1 + np.arange(without.sum())
    return codes


def joined(
    first: npt.NDArray[np.int64], second: npt.NDArray[np.int64] | None = None
) -> npt.NDArray[np.int64]:
    """Groups of rows that a chain of groups of either kind connects, numbered by their first rows; shape (n,)."""
    rows = numbered(first)
    if second is None:
        return rows
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    columns = numbered(second)
    n_rows = rows.max(initial=-1) + 1
    size = n_rows + columns.max(initial=-1) + 1
    edges = coo_array((np.ones(len(rows), dtype=bool), (rows, n_rows + columns)), shape=(size, size))
    return np.asarray(connected_components(edges, directed=False)[1][rows], dtype=np.int64)


def numbered(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Number of each row's value in the order in which they first occur, shape (n,).

    By sorting: a hash table, as `pandas.factorize` has, takes several times the memory.
    """
    order = np.argsort(values, kind="stable")
    is_first = np.ones(len(values), dtype=bool)
    np.not_equal(values[order[1:]], values[order[:-1]], out=is_first[1:])
    # The first row of each row's group, then how many such there are before it.
    first = np.empty(len(values), dtype=np.int64)
    first[order] = order[is_first][np.cumsum(is_first, dtype=np.int64) - 1]
    del order
    return np.asarray((np.cumsum(first == np.arange(len(first))) - 1)[first], dtype=np.int64)


def times_of(column: pa.ChunkedArray, name: str) -> npt.NDArray[Any]:
    """Times of the column `name` in a type that can be ordered, shape (n,).

    Raises
    ------
    DataError
        A time is missing, or is no date, time stamp, number or text of the form 2024-05-31 10:00:00.
    """
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        # So databases without a type for it hold a date.
        with suppress(pa.ArrowInvalid):
            column = column.cast(pa.timestamp("us"))
    kind = column.type
    kinds = (pa.types.is_date, pa.types.is_timestamp, pa.types.is_integer, pa.types.is_floating)
    if not any(is_one(kind) for is_one in kinds):
        raise DataError(
            f"Column {name!r} is of type {kind}; a time is a date, a time stamp or a number. Write it as 2024-05-31 or "
            "2024-05-31 10:00:00 at the source."
        )
    times = np.asarray(column.to_numpy())
    missing = int(pd.isna(times).sum())
    if missing:
        raise DataError(f"The time {name!r} is missing in {missing:,} rows. Drop those rows.")
    return times


def latest(times: npt.NDArray[Any], share: float) -> Mask:
    """Choose about `share` of the rows, none of them earlier than a row that is not chosen, equal times together.

    Parameters
    ----------
    times
        Time of each row, shape (n,), of a type that can be ordered.

    Raises
    ------
    DataError
        All rows are of one time.
    """
    distinct, counts = np.unique(times, return_counts=True)
    if len(distinct) < 2:
        raise DataError(
            "All rows to split are of one time. Set data.time_column to null, or bring later rows."
        )
    sizes = counts[::-1].cumsum()[::-1]
    # Not the first: some rows must stay.
    at = 1 + int(np.argmin(np.abs(sizes[1:] - share * len(times))))
    return np.asarray(times >= distinct[at], dtype=bool)


def hold_out(groups: npt.NDArray[np.int64], labels: npt.NDArray[Any], share: float, seed: int) -> Mask:
    """Choose whole groups that hold about `share` of the rows, of each class alike.

    Parameters
    ----------
    groups
        Group number of each row, shape (n,).
    labels
        Class of each row, shape (n,). A group is stratified under the rarest class among its rows.
    share
        Share of the rows to choose, in (0, 1).
    seed
        Of the order in which groups are drawn.

    Returns
    -------
    ndarray of bool, shape (n,)
        True for the chosen rows.

    Raises
    ------
    DataError
        A class is left with no row on one of the two sides.
    """
    number, place = _drawn(groups, labels, seed)
    chosen = (place <= share)[number]
    counts = np.unique(labels, return_counts=True)[1]
    for side in (chosen, ~chosen):
        if len(np.unique(labels[side])) < len(counts):
            raise DataError(
                f"A class of {counts.min()} rows is too small to stand on both sides of a split of {share:.0%}. "
                "Merge it with another class, or bring more rows."
            )
    return chosen


def folds(
    groups: npt.NDArray[np.int64], labels: npt.NDArray[Any], n_folds: int, seed: int
) -> npt.NDArray[np.int64]:
    """Deal whole groups out to `n_folds` folds of about as many rows, of each class alike.

    Parameters
    ----------
    groups, labels, seed
        As for `hold_out`.

    Returns
    -------
    ndarray of int64, shape (n,)
        Number of each row's fold, from 0.

    Raises
    ------
    DataError
        A class is missing in a fold.
    """
    numbers, place = _drawn(groups, labels, seed)
    fold = (place * n_folds).astype(np.int64)[numbers]
    classes, counts = np.unique(labels, return_counts=True)
    for number in range(n_folds):
        if len(np.unique(labels[fold == number])) < len(classes):
            raise DataError(
                f"A class of {counts.min()} rows is too small for {n_folds} folds. Ask for fewer folds, "
                "or bring more rows."
            )
    return fold


def _drawn(
    groups: npt.NDArray[np.int64], labels: npt.NDArray[Any], seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Put the groups in a drawn order, each among those of the rarest class among its rows.

    Returns
    -------
    number : ndarray of int64, shape (n,)
        Of each row's group, from 0.
    place : ndarray of float64, shape (n_groups,)
        Share of its class's rows that lie before the middle of a group.
    """
    number = np.unique(groups, return_inverse=True)[1]
    codes, counts = np.unique(labels, return_inverse=True, return_counts=True)[1:]
    sizes = np.bincount(number)
    rarest = np.full(len(sizes), len(counts), dtype=np.int64)
    # Rank 0 is the rarest class.
    for rank, code in enumerate(np.argsort(counts, kind="stable")):
        of_class = number[codes == code]
        rarest[of_class] = np.minimum(rarest[of_class], rank)
    order = np.random.RandomState(seed).permutation(len(sizes))
    place = np.empty(len(sizes))
    for rank in range(len(counts)):
        drawn = order[rarest[order] == rank]
        if len(drawn):
            before = np.cumsum(sizes[drawn])
            place[drawn] = (before - sizes[drawn] / 2) / before[-1]
    return number, place
