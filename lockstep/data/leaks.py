"""Columns that give the label away: how well each alone tells the classes apart, on rows that it was not fitted on.

A value (or a bin of a numeric column, or that it is missing) scores each class by its share among the other half's rows
of that value; the figure is the mean over halves and classes of the area under the ROC curve of that score
(Mann-Whitney's U with ties; Hand & Till 2001, "A Simple Generalisation of the Area Under the ROC Curve", for several
classes one against the rest).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lockstep.data.tables import is_category

CERTAIN = 0.9995
"""From here on a column is the label in other words."""

SUSPICIOUS = 0.98

MIN_CLASS_ROWS = 10
"""With fewer rows of a class, a column tells it apart by chance."""

_MAX_BINS = 256
_MIN_BINS, _BIN_ROWS = 4, 20

Codes = npt.NDArray[np.int64]


class Labels(NamedTuple):
    """Classes of n rows, and the half that each row is in.

    Attributes
    ----------
    codes : ndarray of int64, shape (n,)
        Number of each row's class, from 0.
    half : ndarray of int64, shape (n,)
        0 or 1, spread evenly and by class, whatever the order of the rows.
    n_classes
        How many there are.
    tellable
        Whether each class has rows enough.
    """

    codes: Codes
    half: Codes
    n_classes: int
    tellable: bool

    @classmethod
    def of(cls, codes: Codes) -> Labels:
        order = np.random.default_rng(0).permutation(len(codes))
        half = np.zeros(len(codes), dtype=np.int64)
        half[order[np.argsort(codes[order], kind="stable")]] = np.arange(len(codes)) % 2
        counts = np.bincount(codes)
        return cls(codes, half, len(counts), bool(counts.min() >= MIN_CLASS_ROWS))


def separation(column: pa.ChunkedArray, labels: Labels) -> float:
    """How well `column`, of numbers, categories or booleans, alone tells the classes apart.

    Returns
    -------
    float
        Area under the ROC curve, one class against the rest: 0.5 for a column that tells nothing, 1 for one that tells
        all, and 0.5 where a class has too few rows to say.
    """
    if not labels.tellable:
        return 0.5
    values, n_classes = _codes(column), labels.n_classes
    n_values = int(values.max()) + 1
    cells = (labels.half * n_values + values) * n_classes + labels.codes
    counts = np.bincount(cells, minlength=2 * n_values * n_classes).reshape(2, n_values, n_classes)
    areas = []
    for fitted, judged in ((counts[0], counts[1]), (counts[1], counts[0])):
        shares, totals = _shares(fitted), judged.sum(axis=1)
        # Of two classes, each is the other's rest.
        areas += [
            _area(shares[:, c], judged[:, c], totals) for c in range(1 if n_classes == 2 else 0, n_classes)
        ]
    return float(np.mean(areas))


def _codes(column: pa.ChunkedArray) -> Codes:
    """Number of each row's value or bin, 0 where it is missing."""
    if is_category(column.type):
        plain = column.cast(pa.string()) if not pa.types.is_boolean(column.type) else column
        encoded = plain.combine_chunks().dictionary_encode().indices
        return np.asarray(pc.fill_null(pc.add(encoded.cast(pa.int64()), 1), 0).to_numpy(), dtype=np.int64)
    values = np.asarray(pc.cast(column, pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    present = np.isfinite(values)
    codes = np.zeros(len(values), dtype=np.int64)
    if present.any():
        distinct, ranks = np.unique(values[present], return_inverse=True)
        # An amount that each row has for itself says something by its size alone.
        if len(distinct) > min(_MAX_BINS, len(values) // 10):
            bins = min(max(len(values) // _BIN_ROWS, _MIN_BINS), _MAX_BINS)
            edges = np.unique(np.quantile(ranks, np.linspace(0, 1, bins + 1)))
            ranks = np.searchsorted(edges, ranks, side="right")
        codes[present] = 1 + ranks
    return codes


def _shares(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Share of each class among the rows of each value, drawn a little to that among all rows."""
    prior = counts.sum(axis=0) / counts.sum()
    return np.asarray((counts + prior) / (counts.sum(axis=1, keepdims=True) + 1))


def _area(scores: npt.NDArray[np.float64], positives: Codes, totals: Codes) -> float:
    _, at = np.unique(scores, return_inverse=True)
    positive = np.bincount(at, weights=positives)
    negative = np.bincount(at, weights=totals) - positive
    below: npt.NDArray[Any] = np.concatenate([[0.0], np.cumsum(negative)[:-1]])
    return float((positive * (below + negative / 2)).sum() / (positive.sum() * negative.sum()))
