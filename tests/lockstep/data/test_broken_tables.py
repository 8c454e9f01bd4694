"""Fifty ways of breaking a table, each caught by column and expectation, without a value in any word."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lockstep.data.batches import TableBatches
from lockstep.data.checking import check
from lockstep.data.expectations import Expectation
from lockstep.errors import ExpectationsFailed
from tasks.validate import ValidateParams, run

N = 200
RNG = np.random.default_rng(0)
DAY = datetime.date(2026, 3, 1)
START = [DAY + datetime.timedelta(days=int(d)) for d in RNG.integers(0, 60, N)]
GROSS = RNG.integers(100, 1000, N)
GOOD: dict[str, Any] = {
    "id": list(range(N)),
    "shop": [i % 4 for i in range(N)],
    "receipt": [i // 4 for i in range(N)],
    "age": RNG.integers(18, 80, N).tolist(),
    "height": np.round(RNG.normal(170, 10, N), 1).tolist(),
    "city": RNG.choice(["Ulm", "Bonn", "Kiel"], N, p=[0.5, 0.3, 0.2]).tolist(),
    "phone": [f"+49 {i:06d}" for i in range(N)],
    "country": ["DE"] * N,
    "gross": GROSS.tolist(),
    "tax": (GROSS // 5).tolist(),
    "net": (GROSS - GROSS // 5).tolist(),
    "net_again": (GROSS - GROSS // 5).tolist(),
    "start": START,
    "end": [day + datetime.timedelta(days=3) for day in START],
    "seen_at": [datetime.datetime(2026, 5, 1, 12, i % 60) for i in range(N)],
    "member": [i % 2 == 0 for i in range(N)],
    "discount": [10 if i % 2 == 0 else 0 for i in range(N)],
    "note": [None if i % 5 == 0 else "fine" for i in range(N)],
    "step": list(range(N)),
    "first_choice": ["a"] * N,
    "second_choice": ["b"] * N,
    "label": ["yes" if i % 4 == 0 else "no" for i in range(N)],
}
TABLE = pa.table(GOOD)
NUMBER, WORD, DATE = 987_654_321, "Zanzibar", datetime.date(1987, 6, 5)
CANARIES = ("987654321", "987,654,321", "9.87654e+08", WORD, "1987-06-05", "1987")
PARAMETERS = {"fresh_on": datetime.date(2026, 4, 1), "seen_since": datetime.date(2026, 4, 30)}

Change = Callable[[dict[str, Any]], None]


def e(kind: str, column: str | None = None, **kwargs: Any) -> Expectation:
    return {"type": f"expect_{kind}", "kwargs": kwargs if column is None else {"column": column, **kwargs}}


def put(column: str, value: Any, rows: int = 1) -> Change:
    def change(table: dict[str, Any]) -> None:
        table[column] = [value] * rows + table[column][rows:]

    return change


def make(column: str, values: Callable[[list[Any]], Any]) -> Change:
    def change(table: dict[str, Any]) -> None:
        table[column] = values(table[column])

    return change


def drop(column: str) -> Change:
    return lambda table: table.pop(column)


def rows(keep: Callable[[list[Any]], list[Any]]) -> Change:
    def change(table: dict[str, Any]) -> None:
        table.update({name: keep(values) for name, values in table.items()})

    return change


def when(column: str, value: Any) -> dict[str, Any]:
    return {
        "row_condition": {
            "type": "comparison",
            "column": {"name": column},
            "operator": "==",
            "parameter": value,
        }
    }


CITIES = {"values": ["Bonn", "Kiel", "Ulm"], "weights": [0.3, 0.2, 0.5]}
AGES = {"bins": [0, 20, 40, 60, 80], "weights": [0.03, 0.33, 0.32, 0.32]}
DRIFT = {"threshold": 0.1, "tail_weight_holdout": 0.01}
ALL = sorted(GOOD)

WAYS: dict[str, tuple[Change, Expectation]] = {
    # Of the table.
    "a column is gone": (drop("city"), e("table_columns_to_match_set", column_set=ALL, exact_match=True)),
    "a column is new": (
        lambda t: t.update(extra=t["id"]),
        e("table_columns_to_match_set", column_set=ALL, exact_match=True),
    ),
    "columns change places": (
        lambda t: t.update(id=t.pop("id")),
        e("table_columns_to_match_ordered_list", column_list=list(GOOD)),
    ),
    "one column fewer": (drop("note"), e("table_column_count_to_equal", value=len(GOOD))),
    "too many columns": (
        lambda t: t.update(extra=t["id"]),
        e("table_column_count_to_be_between", max_value=len(GOOD)),
    ),
    "half of the rows": (
        rows(lambda v: v[: N // 2]),
        e("table_row_count_to_be_between", min_value=N - 10, max_value=N + 10),
    ),
    "twice the rows": (rows(lambda v: v * 2), e("table_row_count_to_equal", value=N)),
    # Of a column's existence and type.
    "the expected column is gone": (drop("age"), e("column_to_exist", "age")),
    "a judged column is gone": (drop("age"), e("column_values_to_be_between", "age", max_value=120)),
    "numbers come as text": (
        make("age", lambda v: list(map(str, v))),
        e("column_values_to_be_of_type", "age", type_="int64"),
    ),
    "whole numbers come as fractions": (
        put("age", 20.5),
        e("column_values_to_be_of_type", "age", type_="int64"),
    ),
    "a number is missing": (put("age", None), e("column_values_to_be_of_type", "age", type_="int64")),
    "dates come as text": (
        make("start", lambda v: list(map(str, v))),
        e("column_values_to_be_of_type", "start", type_="date"),
    ),
    "flags come as numbers": (
        make("member", lambda v: list(map(int, v))),
        e("column_values_to_be_in_type_list", "member", type_list=["bool", "bool_"]),
    ),
    "text where a mean is needed": (
        make("height", lambda v: [WORD] * N),
        e("column_mean_to_be_between", "height", min_value=160, max_value=180),
    ),
    # Of missing values.
    "a value is missing": (put("city", None), e("column_values_to_not_be_null", "city")),
    "more than some are missing": (
        put("note", None, 100),
        e("column_values_to_not_be_null", "note", mostly=0.7),
    ),
    "fewer are missing than before": (
        make("note", lambda v: ["fine"] * N),
        e("column_proportion_of_non_null_values_to_be_between", "note", min_value=0.7, max_value=0.9),
    ),
    "what must be empty is not": (
        put("note", WORD, N),
        e("column_values_to_be_null", "note", mostly=0.1),
    ),
    # Of single values.
    "a number too large": (put("age", NUMBER), e("column_values_to_be_between", "age", max_value=120)),
    "a number too small": (put("age", -NUMBER), e("column_values_to_be_between", "age", min_value=0)),
    "an infinite number": (
        put("height", float("inf")),
        e("column_values_to_be_between", "height", max_value=250),
    ),
    "an unknown category": (
        put("city", WORD),
        e("column_values_to_be_in_set", "city", value_set=["Ulm", "Bonn", "Kiel"]),
    ),
    "a category in other letters": (
        put("city", "ULM"),
        e("column_values_to_be_in_set", "city", value_set=["Ulm", "Bonn", "Kiel"]),
    ),
    "a blank behind a category": (
        put("city", "Ulm "),
        e("column_values_to_be_in_set", "city", value_set=["Ulm", "Bonn", "Kiel"]),
    ),
    "a forbidden value": (
        put("city", WORD),
        e("column_values_to_not_be_in_set", "city", value_set=[WORD]),
    ),
    "an unknown label": (
        put("label", WORD),
        e("column_values_to_be_in_set", "label", value_set=["no", "yes"]),
    ),
    "another pattern": (
        put("phone", WORD),
        e("column_values_to_match_regex", "phone", regex=r"^\+49 \d{6}$"),
    ),
    "a forbidden pattern": (put("note", WORD), e("column_values_to_not_match_regex", "note", regex="^Z")),
    "a text too long": (
        put("phone", WORD * 9),
        e("column_value_lengths_to_be_between", "phone", max_value=12),
    ),
    "a code of another length": (
        put("country", WORD),
        e("column_value_lengths_to_equal", "country", value=2),
    ),
    "a date too early": (
        put("start", DATE),
        e("column_values_to_be_between", "start", min_value="2026-01-01"),
    ),
    # Of all values of a column.
    "a key occurs twice": (put("id", 7), e("column_values_to_be_unique", "id")),
    "an order is broken": (put("step", 50), e("column_values_to_be_increasing", "step")),
    "a mean moves": (
        make("height", lambda v: [x + 30 for x in v]),
        e("column_mean_to_be_between", "height", min_value=165, max_value=175),
    ),
    "a spread collapses": (
        make("height", lambda v: [170.0] * N),
        e("column_stdev_to_be_between", "height", min_value=5, max_value=15),
    ),
    "a sum moves": (put("gross", NUMBER), e("column_sum_to_be_between", "gross", max_value=200_000)),
    "a median moves": (
        put("age", NUMBER, 150),
        e("column_median_to_be_between", "age", min_value=18, max_value=80),
    ),
    "a quantile moves": (
        put("age", NUMBER, 40),
        e(
            "column_quantile_values_to_be_between",
            "age",
            quantile_ranges={"quantiles": [0.9], "value_ranges": [[40, 80]]},
        ),
    ),
    "a column becomes constant": (
        make("city", lambda v: ["Ulm"] * N),
        e("column_unique_value_count_to_be_between", "city", min_value=2),
    ),
    "a category disappears": (
        make("city", lambda v: ["Ulm" if x == "Kiel" else x for x in v]),
        e("column_distinct_values_to_contain_set", "city", value_set=["Kiel"]),
    ),
    "categories change their shares": (
        make("city", lambda v: ["Kiel"] * 150 + v[150:]),
        e("column_kl_divergence_to_be_less_than", "city", partition_object=CITIES, **DRIFT),
    ),
    "numbers change their distribution": (
        make("age", lambda v: [70] * 150 + v[150:]),
        e("column_kl_divergence_to_be_less_than", "age", partition_object=AGES, **DRIFT),
    ),
    # Of several columns.
    "a part exceeds the whole": (
        put("tax", NUMBER),
        e("column_pair_values_a_to_be_greater_than_b", column_A="gross", column_B="tax", or_equal=True),
    ),
    "an end before its start": (
        put("end", DATE),
        e("column_pair_values_a_to_be_greater_than_b", column_A="end", column_B="start"),
    ),
    "two columns differ": (
        put("net_again", NUMBER),
        e("column_pair_values_to_be_equal", column_A="net", column_B="net_again"),
    ),
    "a compound key occurs twice": (
        put("receipt", 0, 5),
        e("compound_columns_to_be_unique", column_list=["shop", "receipt"]),
    ),
    "one answer twice in a row": (
        put("second_choice", "a"),
        e("select_column_values_to_be_unique_within_record", column_list=["first_choice", "second_choice"]),
    ),
    "a condition's consequence fails": (
        put("discount", NUMBER),
        e("column_values_to_be_between", "discount", max_value=20, **when("member", True)),
    ),
    "the newest date is old": (
        make("start", lambda v: [DATE] * N),
        e("column_max_to_be_between", "start", min_value={"$PARAMETER": "fresh_on"}),
    ),
    "the newest time is old": (
        make("seen_at", lambda v: [datetime.datetime(1987, 6, 5)] * N),
        e("column_max_to_be_between", "seen_at", min_value={"$PARAMETER": "seen_since"}),
    ),
}


def test_the_good_table_meets_every_expectation() -> None:
    results = check(TableBatches(TABLE), [expectation for _, expectation in WAYS.values()], PARAMETERS)
    assert [(r.column, r.expectation, r.observed) for r in results if not r.passed] == []
    assert len(WAYS) >= 50


@pytest.mark.parametrize("way", WAYS)
def test_a_broken_table_is_caught_by_name_and_without_a_value(way: str) -> None:
    change, expectation = WAYS[way]
    broken = dict(GOOD)
    change(broken)
    params = ValidateParams(target="label", min_category_rows=3, suite_parameters=PARAMETERS)
    validation = run(TableBatches(pa.table(broken)), [expectation], params)
    (failed,) = validation.failed
    kwargs = expectation["kwargs"]
    columns = [kwargs[k] for k in ("column", "column_A", "column_B") if k in kwargs]
    if "table_columns" not in expectation["type"]:
        columns += kwargs.get("column_list", [])
        assert failed.column == (", ".join(columns) or None)
    assert failed.expectation == expectation["type"]
    with pytest.raises(ExpectationsFailed, match=expectation["type"]) as caught:
        validation.refuse("page.html")
    expected = str(kwargs)
    for words in (str(caught.value), failed.observed, validation.page):
        assert [c for c in CANARIES if c in words and c not in expected] == []


@pytest.mark.parametrize("cells", [60, 500])
def test_parts_of_a_table_are_judged_as_the_whole(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = dict(GOOD)
    kept = ("a number too large", "more than some are missing", "a compound key occurs twice", "a mean moves")
    for way in kept:
        WAYS[way][0](broken)
    # The repeated text, which a long column's frame holds as codes or digests.
    broken["phone"] = [None, *broken["phone"][1:-1], broken["phone"][7]]
    of_text = [
        e("column_values_to_be_unique", "phone"),
        e("column_unique_value_count_to_be_between", "phone", min_value=N),
        e("column_proportion_of_unique_values_to_be_between", "city", min_value=0.5),
        e("compound_columns_to_be_unique", column_list=["city", "label"]),
        e("column_value_lengths_to_be_between", "city", max_value=3),
        e("column_most_common_value_to_be_in_set", "city", value_set=["Bonn"]),
        e("column_distinct_values_to_equal_set", "city", value_set=["Ulm", "Bonn"]),
        e("column_distinct_values_to_contain_set", "note", value_set=["fine", "bad"]),
        e(
            "column_kl_divergence_to_be_less_than", "city", threshold=0.1, tail_weight_holdout=0.01,
            partition_object={"values": ["Ulm", "Paris"], "weights": [0.4, 0.6]},
        ),
        e("column_proportion_of_non_null_values_to_be_between", "note", min_value=0.9),
        e("column_values_to_not_be_null", "note"),
        e("column_values_to_be_in_set", "city", value_set=["Ulm"], mostly=0.9),
        e("column_values_to_not_be_in_set", "city", value_set=["Bonn", "Ulm"]),
        e("column_mean_to_be_between", "age", max_value=20),
        e("column_values_to_be_between", "age", max_value=30),
    ]  # fmt: skip
    suite = [*(WAYS[way][1] for way in kept), *of_text]
    table = TableBatches(pa.table(broken))
    whole = check(table, suite)
    monkeypatch.setattr("lockstep.data.checking.CELLS", cells)
    assert check(table, suite) == whole
    assert [r.rows for r in whole[:3]] == [1, broken["note"].count(None), 2]
    assert all(r.failed and "no such" not in r.observed for r in whole), [r for r in whole if not r.failed]
