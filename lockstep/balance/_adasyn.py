"""ADASYN: as SMOTE, but more rows where a small class lies among others.

He et al. 2008, "ADASYN: Adaptive Synthetic Sampling Approach for Imbalanced Learning".
"""

from __future__ import annotations

import numpy as np

from lockstep.balance._mixed import Mixed
from lockstep.balance._synthesis import NEIGHBOURS
from lockstep.balance.rows import Codes, Columns, Resampled, Synthetic, extended, missing_rows, of_input
from lockstep.errors import DataError


def adasyn(columns: Columns, codes: Codes, ratio: float, seed: int) -> Resampled:
    lacking = missing_rows(codes, ratio)
    if not lacking:
        return of_input(np.arange(len(codes)))
    from imblearn.over_sampling import ADASYN

    from lockstep.balance._neighbours import SubsetNeighbours, neighbours

    mixed = Mixed(columns)
    spread = mixed.spread(mixed.encode(columns))
    counts = np.bincount(codes)
    k = neighbours(min(int(counts[code]) for code in lacking), NEIGHBOURS, "adasyn")
    sampler = ADASYN(
        sampling_strategy={code: int(counts[code]) + n for code, n in lacking.items()},
        n_neighbors=SubsetNeighbours(k + 1, seed=seed),
        random_state=seed,
    )
    try:
        grown, labels = sampler.fit_resample(spread, codes)
    except (RuntimeError, ValueError):
        raise DataError(
            "resample.method adasyn found no row of a small class among rows of another, so it has nothing to go by. "
            "Choose smote or smotenc."
        ) from None
    made = mixed.gather(np.asarray(grown)[len(codes) :])
    return extended(np.arange(len(codes)), Synthetic(mixed.decode(made), np.asarray(labels)[len(codes) :]))
