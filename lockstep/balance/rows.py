"""What a sampler is given and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int64]
Columns = Mapping[str, npt.NDArray[Any]]
"""Raw columns as `lockstep.data.tables.raw_columns` gives them."""


class Synthetic(NamedTuple):
    """Rows that are nobody's.

    Attributes
    ----------
    columns
        Raw columns of s rows.
    codes : ndarray of int64, shape (s,)
        Number of each row's class.
    """

    columns: dict[str, npt.NDArray[Any]]
    codes: Codes


class Resampled(NamedTuple):
    """Which rows to train on: m that are rows of the input, then s that are synthetic.

    Attributes
    ----------
    rows : ndarray of int64, shape (m,)
        Row of the input that each row repeats.
    made : ndarray of bool, shape (m + s,)
        True where a sampler added the row.
    weights : ndarray of float32, shape (m + s,)
        Weight in the training loss.
    synthetic
        None where no row is.
    """

    rows: npt.NDArray[np.int64]
    made: npt.NDArray[np.bool_]
    weights: npt.NDArray[np.float32]
    synthetic: Synthetic | None = None


def of_input(rows: npt.NDArray[np.int64]) -> Resampled:
    """Those `rows` of the input, none of them made."""
    return Resampled(rows, np.zeros(len(rows), dtype=bool), np.ones(len(rows), dtype=np.float32))


def extended(rows: npt.NDArray[np.int64], synthetic: Synthetic) -> Resampled:
    """Those `rows` of the input, and behind them synthetic ones."""
    made = np.repeat([False, True], [len(rows), len(synthetic.codes)])
    return Resampled(rows, made, np.ones(len(made), dtype=np.float32), synthetic)


def missing_rows(codes: Codes, ratio: float) -> dict[int, int]:
    """How many rows each class lacks to `ratio` rows per row of the largest; classes that lack none are left out."""
    counts = np.bincount(codes)
    # Rounded as imbalanced-learn rounds a ratio of two classes.
    lacking = {code: int(counts.max() * ratio - n) for code, n in enumerate(counts.tolist()) if n}
    return {code: n for code, n in lacking.items() if n > 0}


def most_rows(codes: Codes, ratio: float) -> dict[int, int]:
    """How many rows each class may have at most, for the smallest to have `ratio` rows per row of each."""
    counts = np.bincount(codes)
    most = int(counts[counts > 0].min() / ratio)
    return {code: min(n, most) for code, n in enumerate(counts.tolist()) if n}
