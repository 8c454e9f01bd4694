"""How a table's columns are distributed, in shares that at least k rows make up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lockstep.data.batches import Batches
from lockstep.data.expectations import Expectation, public_categories, references
from lockstep.data.rounding import round_outward
from lockstep.data.tables import is_category, plain

BINS = 10
OTHER = "(other)"


@dataclass(frozen=True)
class Distribution:
    """Distribution of one column.

    Attributes
    ----------
    column, dtype
        Its name and its type in Arrow's words.
    missing
        Share of all rows in which it is missing, in [0, 1].
    labels
        Categories, "(other)" last where enough rows are in it; or the bins, by their lower edges and the last upper
        one. Empty where the column
        holds neither categories that the suite names nor numbers.
    shares
        Share of the present rows in each; 0 where fewer than k rows are.
    reference
        The same of the suite's reference; empty where it has none.
    numeric
        Whether `labels` are edges.
    """

    column: str
    dtype: str
    missing: float
    labels: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    reference: tuple[float, ...] = ()
    numeric: bool = False


@dataclass
class _Tally:
    categories: list[str] = field(default_factory=list)
    edges: npt.NDArray[np.float64] | None = None
    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    present: int = 0


def distributions(table: Batches, suite: Sequence[Expectation], min_rows: int) -> list[Distribution]:
    """Distributions of all columns, in two goes through the batches of `table`.

    Parameters
    ----------
    suite
        Names the categories that may be told, and holds the reference.
    min_rows
        Rows that a category or a bin must have to be shown.
    """
    reference = references(suite)
    tallies = _prepared(table, public_categories(suite), reference)
    for batch in table.batches():
        for name, tally in tallies.items():
            _count(tally, plain(batch.column(name)))
    return [
        _distribution(table, name, tally, reference.get(name), min_rows) for name, tally in tallies.items()
    ]


def _prepared(
    table: Batches, categories: Mapping[str, Sequence[str]], reference: Mapping[str, Mapping[str, Any]]
) -> dict[str, _Tally]:
    tallies: dict[str, _Tally] = {}
    unbinned = []
    for name in table.schema.names:
        dtype, known = table.schema.field(name).type, reference.get(name, {})
        tallies[name] = _Tally()
        if is_category(dtype):
            named = [*categories.get(name, ()), *map(str, known.get("values", ()))]
            if pa.types.is_boolean(dtype):
                named = ["false", "true"]
            tallies[name] = _Tally(
                categories=sorted(set(named)), counts=np.zeros(len(set(named)), dtype=np.int64)
            )
        elif pa.types.is_integer(dtype) or pa.types.is_floating(dtype):
            if "bins" in known:
                tallies[name].edges = np.asarray(known["bins"], dtype=np.float64)
            else:
                unbinned.append(name)
    if unbinned:
        limits = dict.fromkeys(unbinned, (np.inf, -np.inf))
        for batch in table.batches(unbinned):
            for name in unbinned:
                values = _numbers(batch.column(name))
                if len(values):
                    low, high = limits[name]
                    limits[name] = (min(low, float(values.min())), max(high, float(values.max())))
        for name, (low, high) in limits.items():
            if low < high:
                tallies[name].edges = np.linspace(*round_outward(low, high), BINS + 1)
    for tally in tallies.values():
        if tally.edges is not None:
            tally.counts = np.zeros(len(tally.edges) - 1, dtype=np.int64)
    return tallies


def _count(tally: _Tally, column: pa.Array) -> None:
    tally.present += len(column) - column.null_count
    if tally.categories:
        at = pc.index_in(pc.cast(column, pa.string()), value_set=pa.array(tally.categories, type=pa.string()))
        tally.counts += np.bincount(pc.drop_null(at).to_numpy(), minlength=len(tally.categories))
    elif tally.edges is not None:
        tally.counts += np.histogram(_numbers(column), tally.edges)[0]


def _numbers(column: pa.Array) -> npt.NDArray[np.float64]:
    values = pc.cast(pc.drop_null(column), pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.asarray(values[np.isfinite(values)], dtype=np.float64)


def _distribution(
    table: Batches, name: str, tally: _Tally, reference: Mapping[str, Any] | None, min_rows: int
) -> Distribution:
    dtype = str(table.schema.field(name).type)
    missing = round(1 - tally.present / table.num_rows, 6)
    counts = np.where(tally.counts >= min_rows, tally.counts, 0)
    if not counts.any():
        return Distribution(name, dtype, missing)
    if tally.edges is not None:
        weights = reference["weights"] if reference and "bins" in reference else ()
        return Distribution(
            name,
            dtype,
            missing,
            tuple(f"{edge:g}" for edge in tally.edges),
            _shares(counts, tally.present),
            tuple(map(float, weights)),
            numeric=True,
        )
    known = dict(zip(map(str, reference["values"]), reference["weights"], strict=True)) if reference else {}
    order = sorted(range(len(counts)), key=lambda i: (-counts[i], tally.categories[i]))
    shown = [i for i in order if counts[i] or known.get(tally.categories[i])]
    labels = [tally.categories[i] for i in shown]
    rest = tally.present - int(counts.sum())
    shares, weights = _shares(counts[shown], tally.present), tuple(float(known.get(x, 0.0)) for x in labels)
    if rest >= min_rows:
        labels, shares, weights = (
            [*labels, OTHER],
            (*shares, *_shares(np.array([rest]), tally.present)),
            (*weights, 0.0),
        )
    return Distribution(name, dtype, missing, tuple(labels), shares, weights if known else ())


def _shares(counts: npt.NDArray[np.int64], total: int) -> tuple[float, ...]:
    return tuple(round(float(count) / total, 6) for count in counts)
