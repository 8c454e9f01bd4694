"""The columns of an encoder, each fitted on training rows by itself. Runs on numpy alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lockstep.data.columns import Kind
from lockstep.errors import DataError

Floats = npt.NDArray[np.float64]

MISSING, OTHER, FIRST = 0, 1, 2
"""Codes of a missing value, of one outside the vocabulary, and of the vocabulary's first."""

_SPIKE_SHARE = 0.05

_RARE_SHARE = 0.05
"""Share of rows with rare categories from which on those are told apart by their hash."""

_MAX_BUCKETS = 1024
_MAX_VALUES = 10_000
"""Codes of a column, at most: the most frequent values have them."""


@dataclass(frozen=True)
class Column:
    """Encoding of one column, fitted on training rows.

    Attributes
    ----------
    name, kind
        The raw column and whether it holds numbers or categories.
    values
        Its vocabulary, sorted: categories, or exact values of a numeric column that many rows share.
    edges
        Bin edges of a numeric column, ascending; empty for categories.
    fill
        What stands for a missing number in the bins.
    buckets
        Codes that the categories outside the vocabulary share by their hash; 0: all share one.
    coded
        Whether it has codes. A numeric column that is never missing and shares no values needs none.
    """

    name: str
    kind: Kind
    values: tuple[str, ...] | tuple[float, ...]
    edges: tuple[float, ...] = ()
    fill: float = 0.0
    buckets: int = 0
    coded: bool = True

    @property
    def n_codes(self) -> int:
        return FIRST + len(self.values) + self.buckets if self.coded else 0

    @property
    def width(self) -> int:
        return max(len(self.edges) - 1, 0)


def as_numbers(name: str, raw: npt.NDArray[Any]) -> Floats:
    """Numbers of the column `name` as float64, NaN for None; raises DataError on text."""
    try:
        return np.asarray(raw, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(
            f"Column {name!r} must hold numbers; some of its values are text. Clean it at the source."
        ) from None


def fit_categories(name: str, raw: npt.NDArray[Any], min_value_rows: int) -> Column:
    # Counted as they are: an array of text takes as much for each row as the longest needs.
    present = Counter(str(value) for value in raw.tolist() if not (value is None or value != value))
    categories = np.array(sorted(present), dtype=object)
    counts = np.array([present[category] for category in categories], dtype=np.int64)
    kept = _kept(counts, min_value_rows)
    rare = len(categories) - int(kept.sum())
    told_apart = counts[~kept].sum() > _RARE_SHARE * counts.sum()
    # Eight categories a code, for a rare one alone says little.
    buckets = min(_MAX_BUCKETS, rare // 8) if told_apart else 0
    return Column(name, "category", tuple(map(str, categories[kept])), buckets=buckets)


def fit_numbers(
    name: str, raw: npt.NDArray[Any], bins: int, min_value_rows: int, *, to_the_ends: bool = False
) -> Column:
    numbers = as_numbers(name, raw)
    incomplete = bool(np.isnan(numbers).any())
    numbers = numbers[np.isfinite(numbers)]
    values, counts = np.unique(numbers, return_counts=True)
    shared = tuple(map(float, values[_kept(counts, min_value_rows)]))
    # A spike would swallow most quantiles; its rows are told apart by their code, so the bins describe the rest.
    spikes = values[counts > _SPIKE_SHARE * max(len(numbers), 1)]
    rest = numbers[~np.isin(numbers, spikes)]
    spread = rest if len(np.unique(rest)) > 1 else numbers
    # float64 holds numbers so far apart that their difference is infinite.
    with np.errstate(over="ignore", invalid="ignore"):
        edges = np.quantile(spread, np.linspace(0, 1, bins + 1)) if len(spread) else np.empty(0)
        ends = (values[:1], values[-1:]) if to_the_ends else ()
        edges = np.unique(np.concatenate([edges, *ends]))
        usable = len(edges) > 1 and bool(np.isfinite(np.diff(edges)).all())
    if not usable:
        return Column(name, "numeric", shared)
    fill = float(np.median(numbers))
    return Column(
        name, "numeric", shared, tuple(map(float, edges)), fill, coded=incomplete or bool(len(shared))
    )


def _kept(counts: npt.NDArray[np.int_], min_rows: int) -> npt.NDArray[np.bool_]:
    """Which of a column's values get codes of their own."""
    kept: npt.NDArray[np.bool_] = counts >= min_rows
    if kept.sum() > _MAX_VALUES:
        # Stable, so that equal counts are told apart by the values' order.
        most = np.argsort(-counts, kind="stable")[:_MAX_VALUES]
        kept = np.zeros(len(counts), dtype=bool)
        kept[most] = True
    return kept
