"""Random over- and under-sampling: rows of small classes repeated, or rows of large ones left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lockstep.balance.rows import Codes, Columns, Resampled, missing_rows, most_rows, of_input


def over(columns: Columns, codes: Codes, ratio: float, seed: int) -> Resampled:
    from imblearn.over_sampling import RandomOverSampler

    counts = np.bincount(codes)
    wanted = {code: int(counts[code]) + n for code, n in missing_rows(codes, ratio).items()}
    rows = _sampled(RandomOverSampler(sampling_strategy=wanted, random_state=seed), codes)
    # imbalanced-learn puts the input first and what it adds behind it.
    return of_input(rows)._replace(made=np.arange(len(rows)) >= len(codes))


def under(columns: Columns, codes: Codes, ratio: float, seed: int) -> Resampled:
    from imblearn.under_sampling import RandomUnderSampler

    sampler = RandomUnderSampler(sampling_strategy=most_rows(codes, ratio), random_state=seed)
    return of_input(np.sort(_sampled(sampler, codes)))


def _sampled(sampler: Any, codes: Codes) -> npt.NDArray[np.int64]:
    # Only the choice of rows is wanted, so the rows' numbers stand in for the features.
    sampler.fit_resample(np.arange(len(codes)).reshape(-1, 1), codes)
    return np.asarray(sampler.sample_indices_, dtype=np.int64)
