"""Rows of a small class from a conditional GAN for tables."""

from __future__ import annotations

import numpy as np

from lockstep.balance._mixed import Mixed
from lockstep.balance.rows import Codes, Columns, Resampled, Synthetic, extended, missing_rows, of_input
from lockstep.errors import DataError

_MAX_CATEGORIES = 8_000
"""Of all columns together, at most: generator and critic have a place for each, and stay within 6 GiB."""


def ctgan(columns: Columns, codes: Codes, ratio: float, seed: int) -> Resampled:
    lacking = missing_rows(codes, ratio)
    if not lacking:
        return of_input(np.arange(len(codes)))
    from lockstep.balance import ctgan as sampler

    mixed, counts = Mixed(columns), np.bincount(codes)
    if sum(mixed.sizes) > _MAX_CATEGORIES:
        raise DataError(
            f"resample.method ctgan takes {_MAX_CATEGORIES:,} categories, and there are {sum(mixed.sizes):,}, most of "
            f"them in {mixed.widest!r}. Choose smote, or leave that column out (data.not_features)."
        )
    matrix = mixed.encode(columns)
    grown, labels = sampler.CTGAN(
        categorical_features=list(range(mixed.n_numbers, matrix.shape[1])),
        sampling_strategy={code: int(counts[code]) + n for code, n in lacking.items()},
        random_state=seed,
        steps=sampler.STEPS,
    ).fit_resample(matrix, codes)
    made = mixed.decode(np.asarray(grown)[len(codes) :])
    return extended(np.arange(len(codes)), Synthetic(made, np.asarray(labels)[len(codes) :]))
