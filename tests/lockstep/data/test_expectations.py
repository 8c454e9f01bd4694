"""Expectations are checked by Great Expectations, and no result quotes a value."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa
import pytest

from lockstep.data.batches import TableBatches
from lockstep.data.checking import check as check_batches
from lockstep.data.expectations import Expectation, parse_suite, public_categories
from lockstep.data.profile import profile, round_outward, to_json
from lockstep.data.results import Result
from lockstep.errors import DataError, ParameterError

TABLE = pa.table(
    {
        "age": pa.array([20, 31, 45, 67, 31, 20] * 10),
        "city": pa.array(["Ulm", "Bonn", "Ulm", "Bonn", "Ulm", None] * 10),
        "label": pa.array(["no", "no", "no", "yes", "no", "yes"] * 10),
    }
)
SUITE = profile(TABLE, "label", 5)


def check(table: pa.Table, suite: Sequence[Expectation]) -> list[Result]:
    return check_batches(TableBatches(table), suite)


def test_a_table_meets_its_own_profile() -> None:
    results = check(TABLE, SUITE)
    assert len(results) == len(SUITE)
    assert all(result.passed for result in results)
    assert [r.expectation for r in results] == [e["type"] for e in SUITE]


BROKEN = {
    "a value out of range": ("age", pa.array([20, 31, 45, 670, 31, 20] * 10), "values_to_be_between"),
    "an unseen category": (
        "city",
        pa.array(["Ulm", "Bonn", "Hamburg", "Bonn", "Ulm", None] * 10),
        "be_in_set",
    ),
    "an unseen label": ("label", pa.array(["no", "no", "no", "maybe", "no", "yes"] * 10), "be_in_set"),
    "too much missing": ("city", pa.array(["Ulm", None, None, None, None, None] * 10), "not_be_null"),
    "a missing number": ("age", pa.array([20, None, 45, 67, 31, 20] * 10), "not_be_null"),
    "another type": ("age", pa.array(["20", "31", "45", "67", "31", "20"] * 10), "be_of_type"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_breaks_a_table_is_named(case: str) -> None:
    column, values, expectation = BROKEN[case]
    broken = TABLE.set_column(TABLE.column_names.index(column), column, values)
    failed = [result for result in check(broken, SUITE) if not result.passed]
    assert any(r.column == column and expectation in r.expectation for r in failed)
    assert {r.column for r in failed} == {column}
    for result in failed:
        for value in ("670", "Hamburg", "maybe"):
            assert value not in result.observed


def test_a_missing_column_is_named() -> None:
    failed = [result for result in check(TABLE.drop_columns(["age"]), SUITE) if not result.passed]
    assert ("age", "no such column") in {(r.column, r.observed) for r in failed}
    assert any("missing: ['age']" in r.observed for r in failed)


def test_rows_and_share_are_counted() -> None:
    values = pa.array([20, 31, 45, 670, 31, 20] * 10)
    (failed,) = [r for r in check(TABLE.set_column(0, "age", values), SUITE) if r.failed]
    assert (failed.rows, failed.share) == (10, pytest.approx(1 / 6, abs=1e-6))


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"expectations": []}', b'{"expectations": [1]}'])
def test_a_suite_that_expects_nothing_is_refused(content: bytes) -> None:
    with pytest.raises(DataError, match=r"suite\.json"):
        parse_suite(content, "suite.json")


def test_an_unknown_expectation_is_named() -> None:
    with pytest.raises(DataError, match="expect_wonders"):
        check(TABLE, [{"type": "expect_wonders", "kwargs": {}}])


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(DataError, match="expect_column_to_exist"):
        check(TABLE, [{"type": "expect_column_to_exist", "kwargs": {"colum": "age"}}])


def test_a_rare_category_is_not_named_by_a_profile() -> None:
    values = pa.array(["Ulm"] * 55 + ["Zwiesel"] * 5)
    suite = profile(TABLE.set_column(1, "city", values), "label", 6)
    assert "Zwiesel" not in json.dumps(suite)
    assert public_categories(suite)["city"] == ["Ulm"]
    assert all(result.passed for result in check(TABLE.set_column(1, "city", values), suite))


def test_a_key_is_expected_to_stay_unique() -> None:
    table = TABLE.append_column("id", pa.array(range(60)))
    assert {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "id"}} in profile(
        table, "label", 5
    )


def test_extremes_are_rounded_outward() -> None:
    assert round_outward(-1234, 99_999) == (-2000, 100_000)
    assert round_outward(0, 0.034) == (0, 0.04)
    assert round_outward(20, 90) == (10, 100)


def test_a_suite_is_written_an_expectation_a_block() -> None:
    text = to_json(SUITE, "x").decode()
    assert parse_suite(text.encode(), "x") == SUITE
    assert text.count('\n    {\n      "type"') == len(SUITE)


def test_a_suite_of_before_version_1_is_read() -> None:
    old = {
        "expectation_suite_name": "old",
        "expectations": [
            {
                "expectation_type": "expect_column_values_to_not_be_null",
                "kwargs": {"column": "age"},
                "meta": {},
            }
        ],
    }
    (result,) = check(TABLE, parse_suite(json.dumps(old).encode(), "old.json"))
    assert (result.column, result.expectation, result.passed) == (
        "age",
        "expect_column_values_to_not_be_null",
        True,
    )


def test_a_profile_loads_in_great_expectations_and_comes_back_the_same() -> None:
    import great_expectations as gx

    document = json.loads(to_json(SUITE, "mine"))
    loaded = gx.ExpectationSuite(name=document["name"], expectations=document["expectations"])
    back = parse_suite(json.dumps(loaded.to_json_dict()).encode(), "mine")
    assert [e["type"] for e in back] == [e["type"] for e in SUITE]
    assert all(result.passed for result in check(TABLE, back))


def test_a_shift_is_a_warning() -> None:
    shifted = TABLE.set_column(1, "city", pa.array(["Bonn", "Bonn", "Bonn", "Bonn", "Ulm", None] * 10))
    (result,) = [r for r in check(shifted, SUITE) if not r.passed]
    assert (result.column, result.expectation, result.warned) == (
        "city",
        "expect_column_kl_divergence_to_be_less_than",
        True,
    )


@pytest.mark.parametrize("bound", ["as_of", "now() - timedelta(days=30)"])
def test_a_missing_parameter_is_named_and_no_clock_is_read(bound: str) -> None:
    suite = [
        {
            "type": "expect_column_max_to_be_between",
            "kwargs": {"column": "age", "min_value": {"$PARAMETER": bound}},
        }
    ]
    with pytest.raises(ParameterError, match=r"validate\.suite_parameters"):
        check(TABLE, suite)


def test_an_unknown_severity_is_refused() -> None:
    content = b'{"expectations": [{"type": "expect_column_to_exist", "kwargs": {}, "severity": "fatal"}]}'
    with pytest.raises(DataError, match="'fatal'"):
        parse_suite(content, "suite.json")
