"""Great Expectations over a table of any size, with results that hold no person's value.

Great Expectations takes a data frame, and about 20 ms an expectation and a frame. So a table that is too large for one
frame is looked at some columns at a time, all of their rows. Where even those are too many, an expectation that judges
row by row gets the rows in parts, and its counts are added up; one of whole columns (a mean, a key) gets all in one,
with codes or digests in the place of text.
"""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lockstep.data.batches import Batches
from lockstep.data.expectations import (
    Expectation,
    Parameter,
    columns_of,
    resolved,
)
from lockstep.data.frames import digested_columns, frame_of, whole_columns
from lockstep.data.results import Figures, Result, described
from lockstep.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

CELLS = 1 << 22
"""Cells of a frame, about: 32 MiB of numbers, some hundred of text."""

# What the column names and types decide, of which any rows tell.
_OF_SCHEMA = frozenset(
    {
        "expect_column_to_exist",
        "expect_column_values_to_be_of_type",
        "expect_column_values_to_be_in_type_list",
        "expect_table_column_count_to_be_between",
        "expect_table_column_count_to_equal",
        "expect_table_columns_to_match_ordered_list",
        "expect_table_columns_to_match_set",
    }
)
_OF_ROW_COUNT = frozenset({"expect_table_row_count_to_be_between", "expect_table_row_count_to_equal"})
# They look from row to row although Great Expectations counts rows that break them.
_ACROSS_ROWS = frozenset(
    {
        "expect_column_value_z_scores_to_be_less_than",
        "expect_column_values_to_be_decreasing",
        "expect_column_values_to_be_increasing",
        "expect_column_values_to_be_unique",
        "expect_column_values_to_not_be_outliers",
        "expect_compound_columns_to_be_unique",
        "expect_multicolumn_values_to_be_unique",
    }
)
# They ask no more of two values than whether they are equal.
_OF_EQUALITY = frozenset(
    {
        "expect_column_proportion_of_unique_values_to_be_between",
        "expect_column_unique_value_count_to_be_between",
        "expect_column_values_to_be_unique",
        "expect_compound_columns_to_be_unique",
    }
)
# They judge a row by its value alone, whatever stands for it: a number, or the code of a text.
_OF_VALUES = frozenset(
    {
        "expect_column_values_to_be_in_set",
        "expect_column_values_to_be_null",
        "expect_column_values_to_not_be_in_set",
        "expect_column_values_to_not_be_null",
    }
)
_OF_NUMBERS = _OF_VALUES | {"expect_column_values_to_be_between"}
_HEAD_ROWS = 1000
_SOURCE = "lockstep"


def check(
    table: Batches, suite: Sequence[Expectation], parameters: Mapping[str, Parameter] | None = None
) -> list[Result]:
    """Validate `table` against `suite`.

    Parameters
    ----------
    parameters
        Values of what the suite names as ``{"$PARAMETER": name}``.

    Returns
    -------
    list of Result
        One per expectation, in the suite's order.

    Raises
    ------
    DataError
        Great Expectations does not know an expectation or its arguments.
    ParameterError
        A parameter of the suite is missing.
    """
    suite = resolved(suite, parameters or {}, table.schema)
    parsed = [_parse(expectation, i) for i, expectation in enumerate(suite)]
    found: dict[int, Figures] = {}
    context = _context()
    # What is there already is not looked through each time.
    gc.freeze()
    try:
        for columns, members in _plan(table, suite):
            for frame, positions in _frames(table, columns, members, suite, parsed):
                for position, figures in _validate(context, frame, [parsed[i] for i in positions]):
                    mostly = float(suite[position]["kwargs"].get("mostly", 1.0))
                    found[position] = _merged(found.get(position), figures, mostly)
                del frame
                # Great Expectations' objects refer to each other in circles, and to the frame.
                gc.collect()
    finally:
        gc.unfreeze()
    return [described(expectation, found.get(i), table.schema.names) for i, expectation in enumerate(suite)]


def _plan(table: Batches, suite: Sequence[Expectation]) -> list[tuple[list[str] | None, list[int]]]:
    """Columns to look at together, and the positions of the expectations that look at them.

    None stands for the names and types of all columns, the empty list for the number of rows.
    """
    of_schema: list[int] = []
    of_rows: list[int] = []
    by_columns: dict[tuple[str, ...], list[int]] = {}
    for position, expectation in enumerate(suite):
        columns = columns_of(expectation, table.schema.names)
        if expectation["type"] in _OF_SCHEMA:
            of_schema.append(position)
        elif expectation["type"] in _OF_ROW_COUNT:
            of_rows.append(position)
        elif set(columns) <= set(table.schema.names):
            ordered = tuple(name for name in table.schema.names if name in columns or not columns)
            by_columns.setdefault(ordered, []).append(position)
    groups: list[tuple[list[str] | None, list[int]]] = [(None, of_schema), ([], of_rows)]
    together: list[str] = []
    members: list[int] = []
    for needed in sorted(by_columns, key=lambda c: [table.schema.names.index(name) for name in c]):
        union = list(dict.fromkeys([*together, *needed]))
        if members and len(union) * table.num_rows > CELLS:
            groups.append((together, members))
            union, members = list(needed), []
        together, members = union, [*members, *by_columns[needed]]
    return [(c, m) for c, m in [*groups, (together, members)] if m]


def _frames(
    table: Batches,
    columns: list[str] | None,
    members: list[int],
    suite: Sequence[Expectation],
    parsed: Sequence[Any],
) -> Iterator[tuple[pd.DataFrame, list[int]]]:
    """Data frames to evaluate, each with the positions of its expectations."""
    import pandas as pd

    if columns is None:
        head = next(table.batches(rows=_HEAD_ROWS), None)
        yield frame_of(table, head if head is not None else table.schema.empty_table()), members
    elif not columns:
        yield pd.DataFrame(index=pd.RangeIndex(table.num_rows)), members
    elif len(columns) * table.num_rows <= CELLS:
        yield frame_of(table, table.read(columns)), members
    else:
        yield from _parts(table, columns, members, suite, parsed)


def _parts(
    table: Batches,
    columns: list[str],
    members: list[int],
    suite: Sequence[Expectation],
    parsed: Sequence[Any],
) -> Iterator[tuple[pd.DataFrame, list[int]]]:
    """Frames of columns that are too long for one: parts of the rows where those do, else all rows in fewer bytes."""
    by_row = [i for i in members if _by_row(parsed[i], suite[i])]
    by_equality = [i for i in members if suite[i]["type"] in _OF_EQUALITY]
    others = [i for i in members if i not in by_row and i not in by_equality]
    if others:
        frame = whole_columns(table, columns)
        # Great Expectations looks for gaps once a frame, and reading a column again costs about as much as judging it.
        fitting = _fitting(frame)
        along = [
            i for i in by_row if suite[i]["type"] in fitting and "row_condition" not in suite[i]["kwargs"]
        ]
        yield frame, [*others, *along]
        del frame
        by_row = [i for i in by_row if i not in along]
    if by_row:
        for batch in table.batches(columns, rows=max(1, CELLS // len(columns))):
            yield frame_of(table, batch), by_row
    if by_equality:
        yield digested_columns(table, columns), by_equality


def _fitting(frame: pd.DataFrame) -> frozenset[str]:
    """Expectations that judge row by row and take all rows of `frame` at a few bytes each."""
    import pandas as pd

    if len(frame.columns) > 1:
        return frozenset()
    dtype = frame.dtypes.iloc[0]
    if isinstance(dtype, pd.CategoricalDtype):
        return _OF_VALUES
    is_number = pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)
    return _OF_NUMBERS if is_number else frozenset()


def _by_row(parsed: Any, expectation: Expectation) -> bool:
    from great_expectations.expectations import expectation as kinds

    maps = (kinds.ColumnMapExpectation, kinds.ColumnPairMapExpectation, kinds.MulticolumnMapExpectation)
    return isinstance(parsed, maps) and expectation["type"] not in _ACROSS_ROWS


def _context() -> Any:
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    bars: Any = {"globally": False, "metric_calculations": False}
    context.variables.progress_bars = bars
    return context


def _validate(context: Any, frame: pd.DataFrame, expectations: Sequence[Any]) -> list[tuple[int, Figures]]:
    import great_expectations as gx

    batch = (
        context.data_sources.add_pandas(_SOURCE)
        .add_dataframe_asset("source")
        .add_batch_definition_whole_dataframe("whole")
        .get_batch({"dataframe": frame})
    )
    # The samples of failing rows that other result formats carry are people's data.
    outcome = batch.validate(
        gx.ExpectationSuite(name="source", expectations=list(expectations)),
        result_format={"result_format": "BASIC", "partial_unexpected_count": 0},
    )
    context.data_sources.delete(_SOURCE)
    results: list[Any] = outcome.results
    return [
        (
            result.expectation_config.meta["position"],
            Figures(
                bool(result.success),
                result.result if result.exception_info.get("raised_exception") is False else None,
            ),
        )
        for result in results
    ]


def _merged(before: Figures | None, now: Figures, mostly: float) -> Figures:
    """Figures of two parts of the rows as those of both."""
    if before is None or before.figures is None or now.figures is None:
        return now if before is None or before.figures is not None else before
    counts = Counter[str]()
    for part in (before.figures, now.figures):
        counts.update({k: int(v) for k, v in part.items() if k.endswith("_count")})
    judged = counts["element_count"] - counts["missing_count"]
    held = judged - counts["unexpected_count"]
    return Figures(judged == 0 or held / judged >= mostly, dict(counts))


def _parse(expectation: Expectation, position: int) -> Any:
    # Read once, at the import below: no figures about a run leave the machine.
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    from great_expectations.exceptions.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    kind, arguments = expectation["type"], dict(expectation["kwargs"])
    try:
        # Results come back in Great Expectations' own order.
        return ExpectationConfiguration(
            type=kind, kwargs=arguments, meta={"position": position}
        ).to_domain_obj()
    except (GreatExpectationsError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise DataError(f"Great Expectations refuses {kind} with {sorted(arguments)}: {reason}.") from None
