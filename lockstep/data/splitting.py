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
    classes, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    # Rank 0 is the rarest class.
    rank = np.empty(len(classes), dtype=np.int64)
    rank[np.argsort(counts, kind="stable")] = np.arange(len(classes))
    per_group = (
        pd.DataFrame({"group": groups, "rank": rank[codes]}).groupby("group")["rank"].agg(["min", "size"])
    )
    drawn = per_group.sample(frac=1.0, random_state=seed)
    rows_before = drawn.groupby("min")["size"].cumsum() - drawn["size"]
    wanted = drawn["min"].map(drawn.groupby("min")["size"].sum()) * share
    chosen_groups = drawn.index[rows_before + drawn["size"] / 2 <= wanted]
    chosen = np.isin(groups, chosen_groups)
    for side in (chosen, ~chosen):
        if len(np.unique(codes[side])) < len(classes):
            raise DataError(
                f"A class of {counts.min()} rows is too small to stand on both sides of a split of {share:.0%}. "
                "Merge it with another class, or bring more rows."
            )
    return chosen
