"""Resampling of the training rows, by imbalanced-learn; a method each, in one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lockstep.balance._adasyn import adasyn
from lockstep.balance._gan import ctgan
from lockstep.balance._near_miss import near_miss
from lockstep.balance._random import over, under
from lockstep.balance._smote import smote
from lockstep.balance._smote_enn import smote_enn
from lockstep.balance._smotenc import smotenc
from lockstep.balance._tomek import tomek
from lockstep.balance._weights import weights
from lockstep.balance.rows import Codes, Columns, Resampled, missing_rows, of_input
from lockstep.errors import DataError


def _none(columns: Columns, codes: Codes, ratio: float, seed: int) -> Resampled:
    return of_input(np.arange(len(codes)))


MAX_CELLS = 30_000_000
"""Rows times features that a method looks at and makes, at most: within 6 GiB for each of them."""

Sample = Callable[[Columns, Codes, float, int], Resampled]


class Method(NamedTuple):
    """One way to balance classes.

    Attributes
    ----------
    sample
        Takes the features, each row's class, the ratio and a seed.
    reads_features
        Whether it looks at the features, or at the classes alone.
    has_ratio
        Whether it aims at the ratio, or cleans the border between classes whatever it is.
    """

    sample: Sample
    reads_features: bool = True
    has_ratio: bool = True


METHODS: dict[str, Method] = {
    "none": Method(_none, reads_features=False),
    "over": Method(over, reads_features=False),
    "under": Method(under, reads_features=False),
    "weights": Method(weights, reads_features=False),
    "smote": Method(smote),
    "smotenc": Method(smotenc),
    "adasyn": Method(adasyn),
    "smote_enn": Method(smote_enn),
    "tomek": Method(tomek, has_ratio=False),
    "near_miss": Method(near_miss),
    "ctgan": Method(ctgan),
}


def resample(method: str, columns: Columns, codes: Codes, ratio: float, seed: int) -> Resampled:
    """Bring every class to `ratio` rows (or weight) per row of the largest class.

    Parameters
    ----------
    method
        A key of `METHODS`: leave as it is, add rows to small classes, leave out rows of large ones until the
        smallest has its ratio to each, weigh the loss, or clean the border between classes.
    columns
        Features of n rows; empty for a method that does not read them.
    codes
        Number of each row's class, shape (n,).
    ratio
        Wanted rows of a class per row of the largest, in (0, 1]. Where no class has fewer, nothing changes.
    seed
        Of every random choice.

    Raises
    ------
    DataError
        A class is too small for the method, a method finds nothing to go by, or one that reads features has more than
        `MAX_CELLS` of them.
    """
    chosen, counts = METHODS[method], np.bincount(codes)
    if chosen.has_ratio and ratio * counts.max() <= counts[counts > 0].min():
        chosen = METHODS["none"]
    if chosen.reads_features:
        _require_small(method, len(columns), len(codes) + sum(missing_rows(codes, ratio).values()))
    return chosen.sample(columns, codes, ratio, seed)


def _require_small(method: str, n_columns: int, n_rows: int) -> None:
    most = MAX_CELLS // max(n_columns, 1)
    if n_rows > most:
        raise DataError(
            f"resample.method {method} holds all rows in memory, and takes {most:,} of {n_columns} features, those "
            f"that it makes included. There would be {n_rows:,}. Choose over, under or weights, which look at no "
            "feature, or lower resample.ratio."
        )
