"""Great Expectations over a table, with results that hold no person's value."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lockstep.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Expectation = Mapping[str, Any]

# An observed minimum or a most common value is somebody's; these are statistics of all rows, or of the schema.
_STATISTICS = frozenset(
    {
        "expect_table_row_count_to_be_between",
        "expect_table_row_count_to_equal",
        "expect_table_column_count_to_be_between",
        "expect_table_column_count_to_equal",
        "expect_column_mean_to_be_between",
        "expect_column_stdev_to_be_between",
        "expect_column_proportion_of_unique_values_to_be_between",
        "expect_column_proportion_of_non_null_values_to_be_between",
        "expect_column_unique_value_count_to_be_between",
        "expect_column_values_to_be_of_type",
    }
)


@dataclass(frozen=True)
class Result:
    """Outcome of one expectation.

    Attributes
    ----------
    column
        Column's name; None for one of the whole table.
    expectation
        Its type in Great Expectations' vocabulary.
    expected
        Its arguments but the column.
    passed
        Whether it held.
    observed
        Observed statistic, data type or defect, in words; never a person's value.
    rows
        Rows that broke it; None for an expectation of no single row.
    share
        The same as a share of all rows, in [0, 1].
    """

    column: str | None
    expectation: str
    expected: dict[str, Any]
    passed: bool
    observed: str
    rows: int | None
    share: float | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def parse_suite(content: bytes, name: str) -> list[Expectation]:
    """Expectations of a suite in Great Expectations' JSON.

    Raises
    ------
    DataError
        No JSON, no suite, or an empty one: nothing expected would let everything pass.
    """
    try:
        suite = json.loads(content)
    except ValueError as error:
        raise DataError(f"{name} is no JSON: {error}") from None
    expectations = suite.get("expectations") if isinstance(suite, dict) else None
    if not isinstance(expectations, list) or not expectations:
        raise DataError(f"{name} holds no expectations. Write some, or run `lockstep init`.")
    for expectation in expectations:
        if not isinstance(expectation, dict) or not isinstance(expectation.get("type"), str):
            raise DataError(f'{name}: an expectation is {{"type": ..., "kwargs": {{...}}}}.')
    return expectations


def public_categories(suite: Sequence[Expectation]) -> dict[str, list[str]]:
    """Categories by column that the reviewed suite names."""
    return {
        e["kwargs"]["column"]: list(map(str, e["kwargs"]["value_set"]))
        for e in suite
        if e["type"] == "expect_column_values_to_be_in_set"
    }


def check(table: pa.Table, suite: Sequence[Expectation]) -> list[Result]:
    """Validate `table` against `suite`.

    Returns
    -------
    list of Result
        One per expectation, in the suite's order.

    Raises
    ------
    DataError
        Great Expectations does not know an expectation or its arguments.
    """
    # Read once, at the import below: no figures about a run leave the machine.
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    bars: Any = {"globally": False, "metric_calculations": False}
    context.variables.progress_bars = bars
    batch = (
        context.data_sources.add_pandas("lockstep")
        .add_dataframe_asset("source")
        .add_batch_definition_whole_dataframe("whole")
        .get_batch({"dataframe": _frame(table)})
    )
    # The samples of failing rows that other result formats carry are people's data.
    outcome = batch.validate(
        gx.ExpectationSuite(name="source", expectations=[_parse(e, i) for i, e in enumerate(suite)]),
        result_format={"result_format": "BASIC", "partial_unexpected_count": 0},
    )
    results: list[Any] = outcome.results
    by_position = {r.expectation_config.meta["position"]: r for r in results}
    return [_result(by_position[i], set(table.column_names)) for i in range(len(suite))]


def _frame(table: pa.Table) -> pd.DataFrame:
    return table.to_pandas()


def _parse(expectation: Expectation, position: int) -> Any:
    from great_expectations.exceptions.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    kind, arguments = expectation["type"], dict(expectation.get("kwargs", {}))
    try:
        # Results come back in Great Expectations' own order.
        meta = {"position": position}
        return ExpectationConfiguration(type=kind, kwargs=arguments, meta=meta).to_domain_obj()
    except (GreatExpectationsError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise DataError(f"Great Expectations refuses {kind} with {sorted(arguments)}: {reason}.") from None


def _result(outcome: Any, columns: set[str]) -> Result:
    config, figures = outcome.expectation_config, outcome.result
    expected = {k: v for k, v in config.kwargs.items() if k not in ("column", "batch_id")}
    column = config.kwargs.get("column")
    rows = figures.get("unexpected_count") if "element_count" in figures else None
    total = figures.get("element_count")
    if column is not None and column not in columns:
        observed = "no such column"
    elif outcome.exception_info.get("raised_exception") is not False:
        observed = "could not be evaluated: the column is of another type than the expectation needs"
    elif config.type in _STATISTICS:
        observed = str(figures.get("observed_value"))
    elif config.type == "expect_table_columns_to_match_set":
        mismatched = figures.get("details", {}).get("mismatched", {})
        observed = ", ".join(f"{k}: {v}" for k, v in sorted(mismatched.items())) or "the same"
    elif rows is not None:
        observed = f"{rows:,} of {total:,} rows break it" if rows else "all rows hold it"
    else:
        observed = "held" if outcome.success else "broken (the figure would be a person's value)"
    return Result(
        column=column,
        expectation=config.type,
        expected=expected,
        passed=bool(outcome.success),
        observed=observed,
        rows=None if rows is None else int(rows),
        share=None if rows is None or not total else round(rows / total, 6),
    )
