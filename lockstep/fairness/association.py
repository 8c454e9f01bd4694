"""How strongly a feature tells of a sensitive one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

_QUANTILES = 10


def cramers_v(feature: npt.NDArray[np.int64], sensitive: npt.NDArray[np.int64]) -> float:
    """Bias-corrected Cramér's V of two columns of n rows, in [0, 1].

    One measure for all pairs of types lets one threshold hold for all.

    Parameters
    ----------
    feature, sensitive
        As `codes_of` numbers their values, shape (n,).

    References
    ----------
    W. Bergsma (2013), "A bias-correction for Cramér's V and Tschuprow's T", Journal of the Korean Statistical
    Society 42(3), 323-328.
    """
    # From -1, which stands for a missing value.
    shape = (feature.max(initial=-1) + 2, sensitive.max(initial=-1) + 2)
    pairs = (feature + 1) * shape[1] + sensitive + 1
    counts = np.bincount(pairs, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
    counts = counts[counts.any(axis=1)][:, counts.any(axis=0)]
    n = counts.sum()
    rows, columns = counts.shape
    if min(rows, columns) < 2 or n < 2:
        return 0.0
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / n
    phi2 = float(((counts - expected) ** 2 / expected).sum() / n)
    corrected_phi2 = max(0.0, phi2 - (rows - 1) * (columns - 1) / (n - 1))
    corrected_rows = rows - (rows - 1) ** 2 / (n - 1)
    corrected_columns = columns - (columns - 1) ** 2 / (n - 1)
    smaller = min(corrected_rows, corrected_columns) - 1
    return float(min(1.0, np.sqrt(corrected_phi2 / smaller))) if smaller > 0 else 0.0


def codes_of(column: pd.Series[Any]) -> npt.NDArray[np.int64]:
    """Number of each row's value, of numbers that of its decile; -1 where it is missing; shape (n,)."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        edges = np.unique(
            np.nanquantile(column.to_numpy(dtype=np.float64), np.linspace(0, 1, _QUANTILES + 1))
        )
        if len(edges) > 2:
            column = pd.Series(np.digitize(column, edges[1:-1], right=True)).where(column.notna().to_numpy())
    return pd.factorize(column)[0]
