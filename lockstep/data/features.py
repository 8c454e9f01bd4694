"""What a network reads of rows, and the same in a fraction of the memory. Runs on numpy alone.

A number is a piecewise-linear vector over the bins of its column (Gorishniy et al. 2022, "On Embeddings for Numerical
Features in Tabular Deep Learning", arXiv:2203.05556): ones up to the bin in which it lies, there the share of the bin
that lies below it, zeros beyond. The bin and that share are all there is to keep of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int_] | slice
"""Rows by number, or from one to another."""


class Features(NamedTuple):
    """Input of a network for n rows.

    Attributes
    ----------
    numeric : ndarray of float32, shape (n, numeric_width)
        Piecewise-linear encoding, each entry in [0, 1].
    codes : ndarray of int32, shape (n, n_coded)
        A code per column that has codes, into one table shared by all of them.
    """

    numeric: npt.NDArray[np.float32]
    codes: npt.NDArray[np.int32]

    def take(self, rows: Rows) -> Features:
        """Those `rows`."""
        return Features(self.numeric[rows], self.codes[rows])


class Bins(NamedTuple):
    """Bins of all numeric columns, one after the other.

    Attributes
    ----------
    owners : ndarray of int32, shape (numeric_width,)
        Number of the column that each bin is of, among those that have bins.
    ranks : ndarray of float32, shape (numeric_width,)
        Number of each bin among those of its column.
    """

    owners: npt.NDArray[np.int32]
    ranks: npt.NDArray[np.float32]

    @classmethod
    def of_widths(cls, widths: list[int]) -> Bins:
        """So many bins of each column."""
        owners = np.repeat(np.arange(len(widths), dtype=np.int32), widths)
        ranks = np.concatenate([np.empty(0), *map(np.arange, widths)])
        return cls(owners, ranks.astype(np.float32))


class Compact(NamedTuple):
    """Rows of which `Features` are made when they are needed.

    Attributes
    ----------
    within : ndarray of uint16, shape (n, n_columns)
        The bin, by its number in the column, in which the number of each column that has bins lies.
    shares : ndarray of float32, shape (n, n_columns)
        The share of that bin that lies below the number, in [0, 1].
    codes : ndarray of int32, shape (n, n_coded)
        As in `Features`.
    bins
        Of those columns.
    """

    within: npt.NDArray[np.uint16]
    shares: npt.NDArray[np.float32]
    codes: npt.NDArray[np.int32]
    bins: Bins

    def take(self, rows: Rows) -> Compact:
        """Those `rows`."""
        return Compact(self.within[rows], self.shares[rows], self.codes[rows], self.bins)

    def features(self) -> Features:
        """What a network reads of them."""
        owners, ranks = self.bins
        # Exact: the difference is whole, and 0 in the bin that the share is of.
        numeric = self.within[:, owners] - ranks
        numeric += self.shares[:, owners]
        return Features(np.clip(numeric, 0.0, 1.0, out=numeric), self.codes)


def place(values: Floats, edges: Floats) -> tuple[npt.NDArray[np.intp], Floats]:
    """Bin between ascending `edges` in which each of `values` lies, the nearest of one beyond, and the share below it.

    Notes
    -----
    A share is computed in float64 here and nowhere else: TensorFlow's threads take the smallest numbers for 0.
    """
    within = np.searchsorted(edges[1:-1], values, side="right")
    low = edges[within]
    # Far outside a narrow bin the quotient is infinite, and then 0 or 1 like any other.
    with np.errstate(over="ignore"):
        shares = (values - low) / (edges[within + 1] - low)
    return within, np.clip(shares, 0.0, 1.0)
