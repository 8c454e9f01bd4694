"""SMOTE-NC: numbers as SMOTE makes them, and the categories that most of the neighbours have.

Chawla et al. 2002, section 6.1, arXiv:1106.1813. A table without numbers, or without categories, is SMOTE's.
"""

from __future__ import annotations

import numpy as np

from lockstep.balance import _smote
from lockstep.balance._mixed import Floats, Mixed
from lockstep.balance._synthesis import NEIGHBOURS, grow, with_another
from lockstep.balance.rows import Codes, Columns, Resampled
from lockstep.errors import DataError

_MAX_PLACES = 400_000_000
"""Rows times categories that imbalanced-learn holds at a time, at most: 3 GiB."""


def smotenc(columns: Columns, codes: Codes, ratio: float, seed: int) -> Resampled:
    return grow(columns, codes, ratio, seed, _make)


def _make(mixed: Mixed, rows: Floats, n_new: int, seed: int) -> Floats:
    if not mixed.n_numbers or not mixed.sizes:
        return _smote.make(mixed, rows, n_new, seed)
    from imblearn.over_sampling import SMOTENC

    from lockstep.balance._neighbours import SubsetNeighbours, neighbours

    k = neighbours(len(rows), NEIGHBOURS, "smotenc")
    _require_few_categories(mixed, len(rows) + k * n_new)
    known, classes = with_another(rows)
    sampler = SMOTENC(
        categorical_features=list(range(mixed.n_numbers, rows.shape[1])),
        sampling_strategy={1: len(rows) + n_new},
        k_neighbors=SubsetNeighbours(k + 1, seed=seed),
        random_state=seed,
    )
    grown, _ = sampler.fit_resample(known, classes)
    return np.asarray(grown, dtype=np.float64)[len(known) :]


def _require_few_categories(mixed: Mixed, n_rows: int) -> None:
    n_categories = sum(mixed.sizes)
    if n_rows * n_categories > _MAX_PLACES:
        raise DataError(
            f"resample.method smotenc holds a place for each category in each row of a class and in each neighbour of "
            f"a new row. It takes {_MAX_PLACES // n_rows:,} categories here, and there are {n_categories:,}, most of "
            f"them in {mixed.widest!r}. Choose smote, or leave that column out (data.not_features)."
        )
