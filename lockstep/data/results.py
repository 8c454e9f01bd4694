"""What an expectation's outcome may say: counts and statistics of all rows, never a person's value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lockstep.data.expectations import CRITICAL, DRIFT, Expectation, columns_of, severity

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
        "expect_column_values_to_be_in_type_list",
        DRIFT,
    }
)


@dataclass(frozen=True)
class Result:
    """Outcome of one expectation.

    Attributes
    ----------
    column
        Column's name, or several with commas; None for an expectation of the whole table.
    expectation
        Its type in Great Expectations' vocabulary.
    expected
        Its arguments but the columns.
    severity
        critical, warning or info.
    passed
        Whether it held.
    observed
        Observed statistic, data type or defect, in words; never a person's value.
    rows
        Rows that broke it; None for an expectation of no single row.
    share
        The same as a share of the rows that it looked at, in [0, 1].
    """

    column: str | None
    expectation: str
    expected: dict[str, Any]
    severity: str
    passed: bool
    observed: str
    rows: int | None
    share: float | None

    @property
    def failed(self) -> bool:
        """Whether it broke and is critical."""
        return not self.passed and self.severity == CRITICAL

    @property
    def warned(self) -> bool:
        """Whether it broke and is not critical."""
        return not self.passed and self.severity != CRITICAL

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Figures:
    """What Great Expectations found; None: it could not evaluate it."""

    success: bool
    figures: dict[str, Any] | None


def described(expectation: Expectation, found: Figures | None, names: Sequence[str]) -> Result:
    """Result of `expectation` on a table with the columns `names`; `found` is None where it was not evaluated."""
    kind, kwargs = expectation["type"], expectation["kwargs"]
    columns = columns_of({"kwargs": {k: v for k, v in kwargs.items() if k != "row_condition"}})
    absent = [name for name in columns_of(expectation) if name not in names]
    figures = found.figures if found else None
    rows = figures.get("unexpected_count") if figures and "element_count" in figures else None
    total = figures.get("element_count") if figures else None
    if absent:
        observed = "no such column" if absent == columns else f"no column {', '.join(absent)}"
    elif found is None or figures is None:
        observed = "could not be evaluated: the column is of another type than the expectation needs"
    elif rows is not None and total is not None:
        observed = f"{rows:,} of {total:,} rows break it" if rows else "all rows hold it"
    elif kind == DRIFT and figures.get("observed_value") is not None:
        observed = f"{figures['observed_value']:.4f}"
    elif kind in _STATISTICS:
        observed = _figure(figures.get("observed_value"))
    elif kind == "expect_table_columns_to_match_set":
        mismatched = figures.get("details", {}).get("mismatched", {})
        observed = ", ".join(f"{k}: {v}" for k, v in sorted(mismatched.items())) or "the same"
    else:
        observed = "held" if found.success else "broken (the figure would be a person's value)"
    return Result(
        column=", ".join(columns) or None,
        expectation=kind,
        expected={
            k: v if isinstance(v, str | int | float | list | dict | None) else str(v)
            for k, v in kwargs.items()
            if k not in ("column", "column_A", "column_B", "column_list", "partition_object")
        },
        severity=severity(expectation),
        passed=found is not None and found.success and not absent,
        observed=observed,
        rows=None if rows is None else int(rows),
        share=None if rows is None or not total else round(rows / total, 6),
    )


def _figure(value: Any) -> str:
    if value is None:
        return "no finite figure"
    return f"{float(value):.6g}" if isinstance(value, float) else str(value)
