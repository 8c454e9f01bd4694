"""Tomek links: of two rows of different classes that are each other's nearest, the one of the larger class goes.

Tomek 1976, "Two Modifications of CNN". One of the two is never of the largest class, so neighbours are looked up
for the rows of the others, and then for those that they found: the same links as imbalanced-learn finds, at a part of
its cost, which is that of all pairs.
"""

from __future__ import annotations

import numpy as np

from lockstep.balance._mixed import Mixed
from lockstep.balance.rows import Codes, Columns, Resampled, of_input


def tomek(columns: Columns, codes: Codes, ratio: float, seed: int) -> Resampled:
    from imblearn.under_sampling import TomekLinks
    from sklearn.neighbors import NearestNeighbors

    mixed = Mixed(columns)
    spread = mixed.spread(mixed.encode(columns))
    search = NearestNeighbors(n_neighbors=2).fit(spread)
    counts = np.bincount(codes)
    # A row that is its own nearest is in no link.
    nearest = np.arange(len(codes))
    for rows in (np.flatnonzero(codes != counts.argmax()), None):
        if rows is None:
            rows = np.unique(nearest[codes != codes[nearest]])
        if len(rows):
            nearest[rows] = search.kneighbors(spread[rows], return_distance=False)[:, 1]
    smallest = np.where(counts > 0, counts, counts.max() + 1).argmin()
    larger = [code for code in np.unique(codes) if code != smallest]
    return of_input(np.flatnonzero(~TomekLinks.is_tomek(codes, nearest, larger)))
