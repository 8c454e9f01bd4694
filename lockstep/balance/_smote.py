"""SMOTE: rows on the line between a row of a small class and one of its neighbours there.

Chawla et al. 2002, "SMOTE: Synthetic Minority Over-sampling Technique", arXiv:1106.1813. Categories are vectors (see
`lockstep.balance._mixed`), and a made row has the one of the nearer end.
"""

from __future__ import annotations

import numpy as np

from lockstep.balance._mixed import Floats, Mixed
from lockstep.balance._synthesis import NEIGHBOURS, grow, with_another
from lockstep.balance.rows import Codes, Columns, Resampled


def smote(columns: Columns, codes: Codes, ratio: float, seed: int) -> Resampled:
    return grow(columns, codes, ratio, seed, make)


def make(mixed: Mixed, rows: Floats, n_new: int, seed: int) -> Floats:
    from imblearn.over_sampling import SMOTE

    from lockstep.balance._neighbours import SubsetNeighbours, neighbours

    k = neighbours(len(rows), NEIGHBOURS, "smote")
    spread, classes = with_another(mixed.spread(rows))
    sampler = SMOTE(
        sampling_strategy={1: len(rows) + n_new},
        k_neighbors=SubsetNeighbours(k + 1, seed=seed),
        random_state=seed,
    )
    grown, _ = sampler.fit_resample(spread, classes)
    return mixed.gather(np.asarray(grown)[len(spread) :])
