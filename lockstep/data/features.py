"""What a network reads of rows, and the same in a fraction of the memory. Runs on numpy alone.

A number is a piecewise-linear vector over the bins of its column (Gorishniy et al. 2022, "On Embeddings for Numerical
Features in Tabular Deep Learning", arXiv:2203.05556): ones up to the bin in which it lies, there the share of the bin
that lies below it, zeros beyond. The bin and that share are all there is to keep of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int_] | slice
"""Rows by number, or from one to another."""

_AT_ONCE = 4096


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

    def dense(self) -> Features:
        """Itself, for callers that take `Compact` rows too."""
        return self


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
        The bin, by its number in the column, in which the number of each column that has bins lies: the nearest of a
        number beyond the ends.
    shares : ndarray of float32, shape (n, n_columns)
        The share of that bin that lies below the number; beyond the ends below 0 or above 1.
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

    def dense(self) -> Features:
        """What a network reads of them."""
        owners, ranks = self.bins
        numeric = np.empty((len(self.codes), len(owners)), dtype=np.float32)
        for start in range(0, len(numeric), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            # Exact: the difference is whole, and 0 in the bin that the share is of.
            of_bins = self.within[part][:, owners] - ranks
            of_bins += self.shares[part][:, owners]
            np.minimum(np.maximum(of_bins, 0.0, out=of_bins), 1.0, out=numeric[part])
        return Features(numeric, self.codes)


def slices(rows: Features | Compact, size: int) -> Iterator[Features]:
    """Yield `size` rows at a time, or what is left."""
    for start in range(0, len(rows.codes), size):
        yield rows.take(slice(start, start + size)).dense()


def place(values: Floats, lows: Floats, spans: Floats) -> tuple[npt.NDArray[np.intp], Floats]:
    """`Compact.within` and `Compact.shares` of one column's numbers.

    Parameters
    ----------
    lows, spans
        Lower edge and width of each bin, ascending.

    Notes
    -----
    A share is computed in float64 here and nowhere else: TensorFlow's threads take the smallest numbers for 0.
    """
    within = lows[1:].searchsorted(values, side="right")
    return within, (values - lows[within]) / spans[within]
