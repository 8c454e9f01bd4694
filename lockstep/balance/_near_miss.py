"""NearMiss (version 1): of the large classes the rows stay that lie nearest to rows of the smallest.

Mani & Zhang 2003, "kNN Approach to Unbalanced Data Distributions".
"""

from __future__ import annotations

import numpy as np

from lockstep.balance._mixed import Mixed
from lockstep.balance.rows import Codes, Columns, Resampled, most_rows, of_input

_NEIGHBOURS = 3


def near_miss(columns: Columns, codes: Codes, ratio: float, seed: int) -> Resampled:
    from imblearn.under_sampling import NearMiss

    from lockstep.balance._neighbours import SubsetNeighbours

    mixed = Mixed(columns)
    counts = np.bincount(codes)
    k = min(_NEIGHBOURS, int(counts[counts > 0].min()))
    most = {code: n for code, n in most_rows(codes, ratio).items() if n < counts[code]}
    sampler = NearMiss(sampling_strategy=most, version=1, n_neighbors=SubsetNeighbours(k, seed=seed))
    sampler.fit_resample(mixed.spread(mixed.encode(columns)), codes)
    return of_input(np.sort(np.asarray(sampler.sample_indices_, dtype=np.int64)))
