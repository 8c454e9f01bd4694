"""SMOTE-NC: numbers as SMOTE makes them, and the categories that most of the neighbours have.

Chawla et al. 2002, section 6.1, arXiv:1106.1813. A table without numbers, or without categories, is SMOTE's.
"""

from __future__ import annotations

import numpy as np

from lockstep.balance import _smote
from lockstep.balance._mixed import Floats, Mixed
from lockstep.balance._synthesis import NEIGHBOURS, grow, with_another
from lockstep.balance.rows import Codes, Columns, Resampled


def smotenc(columns: Columns, codes: Codes, ratio: float, seed: int) -> Resampled:
    return grow(columns, codes, ratio, seed, _make)


def _make(mixed: Mixed, rows: Floats, n_new: int, seed: int) -> Floats:
    if not mixed.n_numbers or not mixed.sizes:
        return _smote.make(mixed, rows, n_new, seed)
    from imblearn.over_sampling import SMOTENC

    from lockstep.balance._neighbours import SubsetNeighbours, neighbours

    k = neighbours(len(rows), NEIGHBOURS, "smotenc")
    known, classes = with_another(rows)
    sampler = SMOTENC(
        categorical_features=list(range(mixed.n_numbers, rows.shape[1])),
        sampling_strategy={1: len(rows) + n_new},
        k_neighbors=SubsetNeighbours(k + 1, seed=seed),
        random_state=seed,
    )
    grown, _ = sampler.fit_resample(known, classes)
    return np.asarray(grown, dtype=np.float64)[len(known) :]
