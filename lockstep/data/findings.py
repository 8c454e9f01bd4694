"""What a person should know about a table before a model learns from it; nothing of it is a single person's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lockstep.data.leaks import CERTAIN, SUSPICIOUS, Codes, Labels, separation
from lockstep.data.profile import MAX_CATEGORIES
from lockstep.data.rounding import round_outward
from lockstep.data.tables import is_category

_SHOWN_CATEGORIES = 4
_DATE = r"^\s*\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}"
_NUMBER = r"^\s*[-+]?\d[\d.,]*\s*$"
_SAMPLE_ROWS = 10_000


@dataclass(frozen=True)
class Finding:
    """One column.

    Attributes
    ----------
    column, kind
        Its name, and what it holds in a word.
    missing
        Share of rows without a value, in [0, 1].
    holds
        Its range, rounded outward, or the categories that enough rows share.
    feature
        Whether a model may learn from it.
    advice
        What a person should look at; empty where nothing is remarkable.
    """

    column: str
    kind: str
    missing: float
    holds: str
    feature: bool
    advice: str


def look_at(
    name: str, column: pa.ChunkedArray, labels: Labels, min_category_rows: int, *, named: bool = False
) -> Finding:
    """Look at one column.

    Parameters
    ----------
    labels
        Classes of the rows.
    min_category_rows
        Rows that must share a category for it to be shown.
    named
        A person gave it a role: it is no feature, whatever it holds.
    """
    kind = _kind(column)
    missing = column.null_count / len(column)
    reason = None if named else _no_feature(column, kind)
    advice = "" if reason is None else f"{reason}, so it is no feature"
    told = 0.5
    if not named and reason is None:
        told = separation(column, labels)
    if told >= CERTAIN:
        reason = "it gives the label away"
        advice = f"{reason} by itself (AUC {told:.4f}), so it is no feature; known before? Take it from not_features"
    elif not advice and not named:
        advice = _advice(column, kind, told, min_category_rows)
    return Finding(
        name, kind, missing, _holds(column, kind, min_category_rows), not named and reason is None, advice
    )


def duplicates(table: pa.Table, features: Sequence[str], labels: Codes) -> list[str]:
    """A sentence each on rows that repeat another one, and on rows alike in all features but not in their label."""
    hashes = pd.util.hash_pandas_object(table.select(list(features)).to_pandas(), index=False).to_numpy()
    n_rows, n_twins = len(hashes), len(hashes) - len(np.unique(hashes))
    if not n_twins:
        return []
    per_group = pd.Series(labels).groupby(hashes).agg(["nunique", "size"])
    torn = int(per_group.loc[per_group["nunique"] > 1, "size"].sum())
    sentences = [
        f"{n_twins:,} rows ({n_twins / n_rows:.1%}) repeat the features of another one; a split keeps them together"
    ]
    if torn:
        sentences.append(
            f"{torn:,} rows ({torn / n_rows:.1%}) share all features with a row of another label"
        )
    return sentences


def few_groups(table: pa.Table, sensitive: Sequence[str], test_share: float, min_rows: int) -> list[str]:
    """A sentence on each sensitive feature of which fewer than two groups can expect `min_rows` test rows."""
    sentences = []
    for name in sensitive:
        rows = pc.value_counts(table[name]).field("counts").to_numpy()
        large = int((rows * test_share >= min_rows).sum())
        if large < 2:
            sentences.append(
                f"{large} of the {len(rows)} groups of {name} can be expected to have the {min_rows:,} test rows that "
                "evaluate.min_group_rows asks for; without two of them, its gates end in insufficient evidence"
            )
    return sentences


def _kind(column: pa.ChunkedArray) -> str:
    dtype = column.type
    if column.null_count == len(column):
        return "empty"
    if pa.types.is_boolean(dtype):
        return "boolean"
    if is_category(dtype):
        return "category" if pc.count_distinct(_plain(column)).as_py() <= MAX_CATEGORIES else "text"
    if pa.types.is_integer(dtype):
        return "whole number"
    if pa.types.is_floating(dtype) or pa.types.is_decimal(dtype):
        return "number"
    if pa.types.is_date(dtype) or pa.types.is_timestamp(dtype):
        return "date"
    return str(dtype)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _no_feature(column: pa.ChunkedArray, kind: str) -> str | None:
    if kind == "empty":
        return "it is empty"
    if kind not in ("boolean", "category", "text", "whole number", "number"):
        return f"it is of type {column.type}"
    distinct = pc.count_distinct(_plain(column), mode="only_valid").as_py()
    if distinct < 2:
        return "it holds one value"
    if distinct == len(column) and kind != "number":
        return "it differs in every row, like a key"
    if kind in ("text", "category") and _share(column, _DATE) == 1:
        return "it holds dates as text (2024-05-31 is read as a date)"
    if kind == "text" and distinct > 0.9 * (len(column) - column.null_count):
        return "it differs in nearly every row, like a key or free text"
    return None


def _advice(column: pa.ChunkedArray, kind: str, told: float, min_rows: int) -> str:
    found = []
    if told >= SUSPICIOUS:
        found.append(f"nearly gives the label away (AUC {told:.3f}): is it known before?")
    if kind in ("category", "text") and 0.5 <= _share(column, _NUMBER) < 1:
        found.append("text among numbers: clean it at the source, or it counts as categories")
    if kind == "text":
        found.append(f"more than {MAX_CATEGORIES} categories; if it is free text, list it in not_features")
    if kind == "category":
        counts = _counts(column)
        rare = sum(count < min_rows for count in counts.values())
        if rare:
            found.append(f"{rare} categories have fewer than {min_rows} rows and stay unnamed")
    if column.null_count > len(column) / 2:
        found.append("mostly missing")
    return "; ".join(found)


def _share(column: pa.ChunkedArray, pattern: str) -> float:
    """Share of the values of a sample that match."""
    sample = pc.drop_null(_plain(column).slice(0, _SAMPLE_ROWS))
    return pc.mean(pc.match_substring_regex(sample, pattern)).as_py() if len(sample) else 0.0


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {str(c["values"]): c["counts"] for c in pc.value_counts(pc.drop_null(_plain(column))).to_pylist()}


def _holds(column: pa.ChunkedArray, kind: str, min_rows: int) -> str:
    if kind in ("whole number", "number"):
        extremes = pc.min_max(pc.cast(column, pa.float64(), safe=False)).as_py()
        if not all(np.isfinite(value) for value in extremes.values()):
            return ""
        low, high = round_outward(extremes["min"], extremes["max"])
        return f"{low:,g} to {high:,g}"
    if kind in ("category", "boolean"):
        counts = _counts(column)
        shared = sorted(
            (name for name in counts if counts[name] >= min_rows), key=lambda name: (-counts[name], name)
        )
        if not shared:
            return f"{len(counts)} categories"
        shown = ", ".join(shared[:_SHOWN_CATEGORIES])
        return shown if len(shared) == len(counts) <= _SHOWN_CATEGORIES else f"{shown} ... ({len(counts)})"
    if kind == "text":
        return f"{pc.count_distinct(_plain(column)).as_py():,} different"
    if kind == "date":
        years = pc.min_max(pc.year(column)).as_py()
        return f"{years['min']} to {years['max']}"
    return ""
