"""Splits that keep rows of identical features on one side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lockstep.errors import DataError

Mask = npt.NDArray[np.bool_]


def identical(frame: pd.DataFrame, columns: Sequence[str]) -> npt.NDArray[np.int64]:
    """Number of the group of equal rows that each row belongs to, counting missing values as equal; shape (n,)."""
    groups = frame.groupby(list(columns), dropna=False, sort=False, observed=True)
    return np.asarray(groups.ngroup(), dtype=np.int64)


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
    drawn = _drawn(groups, labels, seed)
    chosen_groups = drawn.index[drawn["middle"] <= drawn["rows"] * share]
    chosen = np.isin(groups, chosen_groups)
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
    drawn = _drawn(groups, labels, seed)
    of_group = (drawn["middle"] / drawn["rows"] * n_folds).astype(np.int64)
    fold = np.asarray(of_group.reindex(groups), dtype=np.int64)
    classes, counts = np.unique(labels, return_counts=True)
    for number in range(n_folds):
        if len(np.unique(labels[fold == number])) < len(classes):
            raise DataError(
                f"A class of {counts.min()} rows is too small for {n_folds} folds. Ask for fewer folds, "
                "or bring more rows."
            )
    return fold


def _drawn(groups: npt.NDArray[np.int64], labels: npt.NDArray[Any], seed: int) -> pd.DataFrame:
    """Groups in the order of a draw, each under the rarest class among its rows.

    Returns
    -------
    DataFrame indexed by group
        ``rows``, those of all groups of its class, and ``middle``, the place of the group's middle among them.
    """
    classes, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    # Rank 0 is the rarest class.
    rank = np.empty(len(classes), dtype=np.int64)
    rank[np.argsort(counts, kind="stable")] = np.arange(len(classes))
    per_group = (
        pd.DataFrame({"group": groups, "rank": rank[codes]}).groupby("group")["rank"].agg(["min", "size"])
    )
    drawn = per_group.sample(frac=1.0, random_state=seed)
    by_class = drawn.groupby("min")["size"]
    drawn["middle"] = by_class.cumsum() - drawn["size"] + drawn["size"] / 2
    drawn["rows"] = by_class.transform("sum")
    return drawn
