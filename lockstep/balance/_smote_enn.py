"""SMOTE, then edited nearest neighbours: a row goes, real or made, that its three nearest rows contradict.

Batista et al. 2004, "A Study of the Behavior of Several Methods for Balancing Machine Learning Training Data".
"""

from __future__ import annotations

import numpy as np

from lockstep.balance import _smote
from lockstep.balance._mixed import Mixed
from lockstep.balance.rows import Codes, Columns, Resampled, Synthetic, extended, of_input
from lockstep.errors import DataError

_NEIGHBOURS = 3


def smote_enn(columns: Columns, codes: Codes, ratio: float, seed: int) -> Resampled:
    from imblearn.under_sampling import EditedNearestNeighbours

    from lockstep.balance._neighbours import SubsetNeighbours

    grown = _smote.smote(columns, codes, ratio, seed)
    made = grown.synthetic
    whole = {
        name: np.concatenate((raw, made.columns[name])) if made else raw for name, raw in columns.items()
    }
    labels = np.concatenate((codes, made.codes)) if made else codes
    mixed = Mixed(whole)
    sampler = EditedNearestNeighbours(
        sampling_strategy="all", n_neighbors=SubsetNeighbours(_NEIGHBOURS + 1, seed=seed)
    )
    sampler.fit_resample(mixed.spread(mixed.encode(whole)), labels)
    kept = np.sort(np.asarray(sampler.sample_indices_, dtype=np.int64))
    real, new = kept[kept < len(codes)], kept[kept >= len(codes)] - len(codes)
    if (np.bincount(codes[real], minlength=codes.max() + 1) == 0)[np.unique(codes)].any():
        raise DataError(
            "resample.method smote_enn leaves no real row of a class: its rows lie among those of another. "
            "Choose smote or smotenc."
        )
    if made is None:
        return of_input(real)
    return extended(real, Synthetic({n: raw[new] for n, raw in made.columns.items()}, made.codes[new]))
