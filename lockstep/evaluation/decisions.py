"""Figures of decisions, from the counts of each class decided as each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


def confusion(codes: Codes, decided: Codes, n_classes: int) -> npt.NDArray[np.int64]:
    """Rows of class i that were decided as class j, shape (n_classes, n_classes)."""
    counts = np.bincount(codes * n_classes + decided, minlength=n_classes**2)
    return counts.reshape(n_classes, n_classes)


def resampled(counts: npt.NDArray[np.int64], samples: int, seed: int) -> npt.NDArray[np.int64]:
    """Bootstrap draws of `confusion`, shape (samples, n_classes, n_classes).

    Drawing the rows of a class with replacement and counting their decisions is one multinomial draw.
    """
    rng = np.random.default_rng(seed)
    drawn = [
        rng.multinomial(row.sum(), row / max(row.sum(), 1), size=samples)
        if row.any()
        else np.zeros((samples, len(row)), dtype=np.int64)
        for row in counts
    ]
    return np.stack(drawn, axis=1)


def accuracy(counts: npt.NDArray[Any]) -> Floats:
    """Share of right decisions; `counts` has the shape (..., k, k)."""
    return np.asarray(np.trace(counts, axis1=-2, axis2=-1) / counts.sum(axis=(-2, -1)))


def of_each_class(counts: npt.NDArray[Any]) -> dict[str, Floats]:
    """Precision, recall and F1 of each class against the rest, shape (..., k); 0 where nothing is to be divided by."""
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    chosen, held = counts.sum(axis=-2), counts.sum(axis=-1)
    return {
        "precision": _ratio(right, chosen),
        "recall": _ratio(right, held),
        "f1": _ratio(2 * right, chosen + held),
    }


def averaged(figures: Floats, rows: Sequence[int] | npt.NDArray[Any]) -> dict[str, Floats]:
    """Mean over the classes that `rows` hold: of each class alike ("macro"), and by its rows ("weighted").

    Parameters
    ----------
    figures
        Of each class, shape (..., k).
    rows
        Rows of each class, shape (k,).
    """
    held = np.asarray(rows) > 0
    return {
        "macro": figures[..., held].mean(axis=-1),
        "weighted": np.average(figures[..., held], axis=-1, weights=np.asarray(rows)[held]),
    }


def _ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> Floats:
    return np.divide(part, whole, out=np.zeros(np.shape(part), dtype=np.float64), where=whole > 0)
