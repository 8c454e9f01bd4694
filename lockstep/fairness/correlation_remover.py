"""Takes from numeric features what sensitive ones tell of them linearly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lockstep.data.decorrelation import Decorrelation, Residual, Sensitive, indicators
from lockstep.errors import DataError


def fit(
    features: Iterable[tuple[str, npt.NDArray[np.float64]]],
    sensitive: Mapping[str, npt.NDArray[Any]],
    min_rows: int,
) -> Decorrelation:
    """Fit fairlearn's CorrelationRemover on training rows.

    Parameters
    ----------
    features
        Name and numbers of each numeric feature of n rows, NaN where one is missing; taken one after the other.
    sensitive
        Raw columns of the same rows, as `lockstep.data.encoding.Encoder` takes them.
    min_rows
        Rows that must share a category of a sensitive feature for it to count; a row of another one stays as it is.

    Raises
    ------
    DataError
        There is no numeric feature, or no sensitive feature has two such categories.

    Notes
    -----
    Each numeric feature is fitted on the rows that have it. Categories stay as they are, and what a shifted number
    still tells in another way than linearly stays too.
    """
    from fairlearn.preprocessing import CorrelationRemover

    known = [
        Sensitive(name, "category" if values.dtype == object else "numeric", _categories(values, min_rows))
        for name, values in sensitive.items()
    ]
    if not any(len(one.categories) > 1 for one in known):
        raise DataError(
            f"debias.method correlation: none of the sensitive features {list(sensitive)} has two categories of "
            f"{min_rows} rows (data.min_category_rows). Choose another method."
        )
    marks = indicators(known, sensitive)
    # A row of no known category is no evidence.
    told = np.ones(len(marks), dtype=bool)
    start = 0
    for one in known:
        told &= marks[:, start : start + len(one.categories)].any(axis=1) | (not one.categories)
        start += len(one.categories)
    residuals, none = [], True
    for name, values in features:
        none = False
        rows = told & np.isfinite(values)
        if rows.sum() < min_rows:
            continue
        remover = CorrelationRemover(sensitive_feature_ids=list(range(marks.shape[1])))
        remover.fit(np.column_stack((marks[rows], values[rows])))
        residuals.append(
            Residual(
                name,
                tuple(map(float, remover.sensitive_mean_)),
                tuple(map(float, np.asarray(remover.beta_)[:, 0])),
            )
        )
    if none:
        raise DataError(
            "debias.method correlation changes numeric features, and none is left. Choose another method."
        )
    return Decorrelation(tuple(known), tuple(residuals))


def _categories(values: npt.NDArray[Any], min_rows: int) -> tuple[str, ...]:
    counts = Counter(str(value) for value in values.tolist() if value is not None and value == value)
    return tuple(sorted(name for name, rows in counts.items() if rows >= min_rows))
