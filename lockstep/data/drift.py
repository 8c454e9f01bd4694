"""Expectations that the next delivery is distributed as this one, with the reference in the suite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lockstep.data.expectations import DRIFT, WARNING
from lockstep.data.rounding import round_outward
from lockstep.data.tables import is_category

MAX_DIVERGENCE = 0.1
"""Of Kullback and Leibler, in nats. Half of the 0.2 at which the population stability index, which sums both
directions, is by custom a shift to act upon."""

MAX_VALUES = 50
BINS = 10

_HOLDOUT = 0.001
"""Share that the reference leaves to what it never saw, so that one new value is no infinite divergence."""
_MISSING_CHANGE = 0.05
_MAX_RARE = 0.1
"""Where more rows fall into bins that are too small to be named, a small table would not even be like itself."""


def drift(name: str, column: pa.ChunkedArray, min_rows: int) -> list[dict[str, Any]]:
    """Expectations of severity ``warning`` that a column keeps its distribution and its share of missing values.

    Parameters
    ----------
    min_rows
        Rows that must share a category, or fall into a bin, for the reference to hold it.

    Returns
    -------
    list of dict
        Great Expectations' configurations. None of the distribution where a column has more than 50 categories, or
        holds neither categories nor numbers; none of missing values where there are none: that is another expectation.
    """
    expectations = [_missing(name, column)] if column.null_count else []
    values = pc.drop_null(column)
    if is_category(column.type) and not pa.types.is_boolean(column.type):
        kwargs = _categories(values, min_rows)
    elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        kwargs = _numbers(values, min_rows)
    else:
        kwargs = None
    if kwargs:
        expectations.append({"type": DRIFT, "kwargs": {"column": name, **kwargs}, "severity": WARNING})
    return expectations


def _missing(name: str, column: pa.ChunkedArray) -> dict[str, Any]:
    present = 1 - column.null_count / len(column)
    return {
        "type": "expect_column_proportion_of_non_null_values_to_be_between",
        "kwargs": {
            "column": name,
            "min_value": max(0.0, math.floor((present - _MISSING_CHANGE) * 100) / 100),
            "max_value": min(1.0, math.ceil((present + _MISSING_CHANGE) * 100) / 100),
        },
        "severity": WARNING,
    }


def _categories(values: pa.ChunkedArray, min_rows: int) -> Mapping[str, Any] | None:
    counts = pc.value_counts(values)
    counted = {str(c["values"]): c["counts"] for c in counts.to_pylist()} if len(counts) <= 10_000 else {}
    shared = {value: counted[value] for value in sorted(counted) if counted[value] >= min_rows}
    if not 1 < len(shared) <= MAX_VALUES:
        return None
    rare = 1 - sum(shared.values()) / len(values)
    return {
        "partition_object": {
            "values": list(shared),
            "weights": _shares(np.array(list(shared.values()), dtype=np.float64)),
        },
        # The rare categories that the reference does not name come again.
        "tail_weight_holdout": round(max(rare, _HOLDOUT), 4),
        "threshold": MAX_DIVERGENCE,
    }


def _numbers(values: pa.ChunkedArray, min_rows: int) -> Mapping[str, Any] | None:
    numbers = np.asarray(pc.cast(values, pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers) or numbers.min() == numbers.max():
        return None
    edges = np.linspace(*round_outward(float(numbers.min()), float(numbers.max())), BINS + 1)
    counts, _ = np.histogram(numbers, edges)
    # A bin of few rows would tell of somebody's extreme.
    counts = np.where(counts >= min_rows, counts, 0)
    if np.count_nonzero(counts) < 2:
        return None
    rare = 1 - counts.sum() / len(numbers)
    if rare > _MAX_RARE:
        return None
    return {
        "partition_object": {"bins": [round(float(edge), 6) for edge in edges], "weights": _shares(counts)},
        "tail_weight_holdout": _HOLDOUT,
        # The rows of the bins that the reference does not weigh come again.
        "internal_weight_holdout": round(max(rare, _HOLDOUT), 4),
        "threshold": MAX_DIVERGENCE,
    }


def _shares(counts: npt.NDArray[Any]) -> list[float]:
    """Shares of four digits that sum to 1, as Great Expectations demands; the largest takes the rest."""
    shares = np.round(counts / counts.sum(), 4)
    shares[np.argmax(shares)] += 1 - shares.sum()
    return [round(float(share), 4) for share in shares]
