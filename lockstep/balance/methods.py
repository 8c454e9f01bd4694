"""Resampling of the training rows, by imbalanced-learn; a method each, in one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.bool_]


class Resampled(NamedTuple):
    """Which rows to train on.

    Attributes
    ----------
    rows : ndarray of int64, shape (m,)
        Row of the input that each row repeats.
    made : ndarray of bool, shape (m,)
        True where a sampler added the row.
    weights : ndarray of float32, shape (m,)
        Weight in the training loss.
    """

    rows: npt.NDArray[np.int64]
    made: npt.NDArray[np.bool_]
    weights: npt.NDArray[np.float32]


def _none(labels: Labels, ratio: float, seed: int) -> Resampled:
    n_rows = len(labels)
    return Resampled(np.arange(n_rows), np.zeros(n_rows, dtype=bool), np.ones(n_rows, dtype=np.float32))


def _over(labels: Labels, ratio: float, seed: int) -> Resampled:
    from imblearn.over_sampling import RandomOverSampler

    rows = _sampled(RandomOverSampler(sampling_strategy=ratio, random_state=seed), labels)
    # imbalanced-learn puts the input first and what it adds behind it.
    made = np.arange(len(rows)) >= len(labels)
    return Resampled(rows, made, np.ones(len(rows), dtype=np.float32))


def _under(labels: Labels, ratio: float, seed: int) -> Resampled:
    from imblearn.under_sampling import RandomUnderSampler

    rows = np.sort(_sampled(RandomUnderSampler(sampling_strategy=ratio, random_state=seed), labels))
    return Resampled(rows, np.zeros(len(rows), dtype=bool), np.ones(len(rows), dtype=np.float32))


def _weights(labels: Labels, ratio: float, seed: int) -> Resampled:
    rows, made, weights = _none(labels, ratio, seed)
    minority = labels == _minority(labels)
    weights[minority] = ratio / (minority.sum() / (~minority).sum())
    return Resampled(rows, made, weights / weights.mean())


def _sampled(sampler: Any, labels: Labels) -> npt.NDArray[np.int64]:
    # Only the choice of rows is wanted, so the rows' numbers stand in for the features.
    sampler.fit_resample(np.arange(len(labels)).reshape(-1, 1), labels)
    return np.asarray(sampler.sample_indices_, dtype=np.int64)


def _minority(labels: Labels) -> bool:
    return bool(labels.mean() <= 0.5)


METHODS: dict[str, Callable[[Labels, float, int], Resampled]] = {
    "none": _none,
    "over": _over,
    "under": _under,
    "weights": _weights,
}


def resample(method: str, labels: Labels, ratio: float, seed: int) -> Resampled:
    """Bring the minority class to `ratio` rows (or weight) per majority row.

    Parameters
    ----------
    method
        A key of `METHODS`: leave as it is, repeat minority rows, leave out majority rows, or weigh the loss.
    labels
        True for the positive class, shape (n,).
    ratio
        Wanted minority rows per majority row, in (0, 1]. Where the table has more already, nothing changes.
    seed
        Of the random choice.
    """
    minority = labels == _minority(labels)
    if ratio * (~minority).sum() <= minority.sum():
        method = "none"
    return METHODS[method](labels, ratio, seed)
