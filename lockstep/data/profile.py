"""A first expectation suite from a table: reviewed and edited by a person, then kept in git."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lockstep.data.drift import drift
from lockstep.data.rounding import round_outward
from lockstep.data.tables import is_category

MAX_CATEGORIES = 200
"""A text column of more categories gets no category set: it is text or an identifier."""


def profile(table: pa.Table, target: str, min_category_rows: int) -> list[dict[str, Any]]:
    """Expectations that `table` meets, with room for the next delivery of the same source.

    Parameters
    ----------
    target
        Column of labels: its set of labels is exact.
    min_category_rows
        Rows that must share a category for it to be named; a rarer one is a person's value.

    Returns
    -------
    list of dict
        Great Expectations' configurations: the table's first, then by column's name and type.
    """
    low, high = sorted((math.floor(len(table) * 0.5), math.ceil(len(table) * 2)))
    suite = [
        _expect("expect_table_columns_to_match_set", column_set=sorted(table.column_names), exact_match=True),
        _expect("expect_table_row_count_to_be_between", min_value=low, max_value=high),
    ]
    untyped = {field.name for field in table.schema if _is_untyped(field.type)}
    table = _plain(table)
    frame_types = table.slice(0, 0).to_pandas().dtypes
    for name in sorted(table.column_names):
        column = table[name]
        # pandas holds whole numbers with gaps as floats.
        dtype = "float64" if column.null_count and frame_types[name].kind in "iu" else str(frame_types[name])
        if name not in untyped:
            suite.append(_expect("expect_column_values_to_be_of_type", column=name, type_=dtype))
        suite += _missing(name, column)
        if name == target:
            suite.append(_labels(name, column))
        elif _is_unique(column):
            suite.append(_expect("expect_column_values_to_be_unique", column=name))
        elif is_category(column.type) and not pa.types.is_boolean(column.type):
            suite += _categories(name, column, min_category_rows)
        elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            suite += _range(name, column)
        suite += drift(name, column, min_category_rows)
    return suite


def to_json(suite: Sequence[Mapping[str, Any]], name: str) -> bytes:
    """A suite as Great Expectations stores it, an expectation a block, so that a review reads it line by line."""
    document = {"expectations": list(suite), "meta": {}, "name": name}
    text = json.dumps(document, indent=2, ensure_ascii=False)
    # Weights and edges mean something together only. No string of JSON has a line break.
    text = re.sub(r"\[\n[\s\d.,e+-]*\n\s*\]", lambda row: json.dumps(json.loads(row[0])), text)
    return (text + "\n").encode()


def _expect(kind: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs}


def _is_untyped(dtype: pa.DataType) -> bool:
    """Whether Great Expectations has no name for the type that pandas gives the column."""
    return pa.types.is_dictionary(dtype) or (pa.types.is_timestamp(dtype) and dtype.tz is not None)


def _plain(table: pa.Table) -> pa.Table:
    """The table with categories as text."""
    columns = [
        column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        for column in table.columns
    ]
    return pa.table(columns, names=table.column_names)


def _is_unique(column: pa.ChunkedArray) -> bool:
    """Whether the column looks like a key. Measurements may all differ too, but none promises to."""
    dtype = column.type
    if (
        pa.types.is_floating(dtype)
        or pa.types.is_decimal(dtype)
        or pa.types.is_nested(dtype)
        or column.null_count
    ):
        return False
    return pc.count_distinct(column).as_py() == len(column)


def _missing(name: str, column: pa.ChunkedArray) -> list[dict[str, Any]]:
    if not column.null_count:
        return [_expect("expect_column_values_to_not_be_null", column=name)]
    present = 1 - column.null_count / len(column)
    # Twice the missing share of today still passes, or half the present one where that is more.
    mostly = math.floor(max(2 * present - 1, present / 2) * 100) / 100
    return [_expect("expect_column_values_to_not_be_null", column=name, mostly=mostly)] if mostly else []


def _labels(name: str, column: pa.ChunkedArray) -> dict[str, Any]:
    return _expect(
        "expect_column_values_to_be_in_set",
        column=name,
        value_set=sorted(pc.unique(pc.drop_null(column)).to_pylist()),
    )


def _categories(name: str, column: pa.ChunkedArray, min_rows: int) -> list[dict[str, Any]]:
    counts = pc.value_counts(pc.drop_null(column)).to_pylist()
    if not counts or len(counts) > MAX_CATEGORIES:
        return []
    shared = sorted(str(c["values"]) for c in counts if c["counts"] >= min_rows)
    rare = sum(c["counts"] for c in counts if c["counts"] < min_rows)
    if not shared:
        return []
    arguments: dict[str, Any] = {"column": name, "value_set": shared}
    if rare:
        arguments["mostly"] = math.floor(max(0.0, 1 - 2 * rare / len(column)) * 1000) / 1000
    return [_expect("expect_column_values_to_be_in_set", **arguments)]


def _range(name: str, column: pa.ChunkedArray) -> list[dict[str, Any]]:
    extremes = pc.min_max(column).as_py()
    if extremes["min"] is None or not all(math.isfinite(value) for value in extremes.values()):
        return []
    low, high = round_outward(extremes["min"], extremes["max"])
    return [_expect("expect_column_values_to_be_between", column=name, min_value=low, max_value=high)]
