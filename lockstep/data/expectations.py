"""An expectation suite in Great Expectations' JSON: what it holds, and what it says with a run's parameters."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from lockstep.errors import DataError, ParameterError

Expectation = Mapping[str, Any]
Parameter = int | float | str | datetime.date

CRITICAL, WARNING, INFO = "critical", "warning", "info"
"""Great Expectations' severities: a critical expectation that breaks stops the pipeline, another one is reported."""

DRIFT = "expect_column_kl_divergence_to_be_less_than"

_PARAMETER = "$PARAMETER"


def parse_suite(content: bytes, name: str) -> list[Expectation]:
    """Expectations of a suite in Great Expectations' JSON, of version 1 or before it.

    Raises
    ------
    DataError
        No JSON, no suite, an unknown severity, or an empty suite: nothing expected would let everything pass.
    """
    try:
        suite = json.loads(content)
    except ValueError as error:
        raise DataError(f"{name} is no JSON: {error}") from None
    expectations = suite.get("expectations") if isinstance(suite, dict) else None
    if not isinstance(expectations, list) or not expectations:
        raise DataError(f"{name} holds no expectations. Write some, or run `lockstep init`.")
    return [_parse(expectation, name) for expectation in expectations]


def _parse(expectation: Any, name: str) -> Expectation:
    if isinstance(expectation, dict) and "expectation_type" in expectation:
        # Before version 1.
        expectation = {"type": expectation["expectation_type"]} | {
            key: value for key, value in expectation.items() if key != "expectation_type"
        }
    if (
        not isinstance(expectation, dict)
        or not isinstance(expectation.get("type"), str)
        or not isinstance(expectation.get("kwargs", {}), dict)
    ):
        raise DataError(f'{name}: an expectation is {{"type": ..., "kwargs": {{...}}}}.')
    if severity(expectation) not in (CRITICAL, WARNING, INFO):
        raise DataError(
            f"{name}: {expectation['type']} has the severity {severity(expectation)!r}. "
            f"It is {CRITICAL}, {WARNING} or {INFO}."
        )
    return expectation


def severity(expectation: Expectation) -> str:
    """Severity of an expectation; critical where it names none."""
    return str(expectation.get("severity", CRITICAL))


def public_categories(suite: Sequence[Expectation]) -> dict[str, list[str]]:
    """Categories by column that the reviewed suite names."""
    return {
        e["kwargs"]["column"]: list(map(str, e["kwargs"]["value_set"]))
        for e in suite
        if e["type"] == "expect_column_values_to_be_in_set"
    }


def references(suite: Sequence[Expectation]) -> dict[str, dict[str, Any]]:
    """Reference distribution by column, from the suite's expectations about drift.

    Returns
    -------
    dict
        ``values`` or ``bins``, and ``weights``, as Great Expectations names them; the weights are shares of the rows
        that are not missing.
    """
    return {
        e["kwargs"]["column"]: e["kwargs"]["partition_object"]
        for e in suite
        if e["type"] == DRIFT and isinstance(e["kwargs"].get("partition_object"), dict)
    }


def columns_of(expectation: Expectation, names: Sequence[str] = ()) -> list[str]:
    """Columns that an expectation looks at, those of its condition included.

    Parameters
    ----------
    names
        Columns of the table: where a condition is written as text, those whose names occur in it count.
    """
    kwargs = expectation.get("kwargs", {})
    found = [kwargs[key] for key in ("column", "column_A", "column_B") if key in kwargs]
    found += kwargs.get("column_list", [])
    condition = kwargs.get("row_condition")
    if isinstance(condition, str):
        found += [name for name in names if name in condition]
    else:
        found += _named(condition)
    return list(dict.fromkeys(found))


def _named(condition: Any) -> list[str]:
    if isinstance(condition, Mapping):
        own = condition.get("column")
        if isinstance(own, Mapping) and "name" in own:
            return [own["name"]]
        return [name for part in condition.values() for name in _named(part)]
    if isinstance(condition, list):
        return [name for part in condition for name in _named(part)]
    return []


def resolved(
    suite: Sequence[Expectation], parameters: Mapping[str, Parameter], schema: pa.Schema
) -> list[Expectation]:
    """The suite with its ``{"$PARAMETER": name}`` replaced by values, and bounds of times as times.

    Raises
    ------
    ParameterError
        A parameter is missing, or an expression stands in its place: Great Expectations would take ``now()``,
        and no run could be repeated.
    """
    return [{**e, "kwargs": _resolve(e, parameters, schema)} for e in suite]


def _resolve(
    expectation: Expectation, parameters: Mapping[str, Parameter], schema: pa.Schema
) -> dict[str, Any]:
    kwargs = dict(expectation.get("kwargs", {}))
    column = kwargs.get("column")
    dtype = schema.field(column).type if column in schema.names else pa.null()
    for key, value in kwargs.items():
        if isinstance(value, Mapping) and _PARAMETER in value:
            name = value[_PARAMETER]
            if name not in parameters:
                raise ParameterError(
                    f"{expectation['type']} of {column!r} names the parameter {name!r}: add its value under "
                    f"validate.suite_parameters in params.yaml, which has {sorted(parameters)}."
                )
            value = parameters[name]
        if key in ("min_value", "max_value"):
            value = _bound(value, dtype)
        kwargs[key] = value
    return kwargs


def _bound(value: Any, dtype: pa.DataType) -> Any:
    """`value` in the type that Great Expectations compares a column of `dtype` with."""
    if isinstance(value, datetime.date) and not pa.types.is_timestamp(dtype):
        return value.isoformat()
    if pa.types.is_timestamp(dtype):
        if isinstance(value, str):
            try:
                value = datetime.datetime.fromisoformat(value)
            except ValueError:
                return value
        if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
            value = datetime.datetime(value.year, value.month, value.day)
        if isinstance(value, datetime.datetime) and dtype.tz is not None and value.tzinfo is None:
            value = value.replace(tzinfo=datetime.UTC)
    return value
