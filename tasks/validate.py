"""Stage `validate`: the source table against its expectation suite, before anything else touches it."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any, NamedTuple

from lockstep.data.batches import Batches, open_batches
from lockstep.data.checking import check
from lockstep.data.columns import refuse_reserved
from lockstep.data.distributions import distributions
from lockstep.data.expectations import Expectation, parse_suite
from lockstep.data.results import Result
from lockstep.data.tables import read_bytes
from lockstep.data.validation_page import page
from lockstep.errors import DataError, ExpectationsFailed
from lockstep.files import write_atomic
from lockstep.sealing.keyring import open_keyring
from tasks._params import Params, key, load_params
from tasks._stage import arguments, command, measured, write_report


class ValidateParams(Params):
    section = "validate"

    target: str = key("data.target")
    min_category_rows: int = key("data.min_category_rows", ge=1)
    suite_parameters: dict[str, int | float | str | datetime.date] = key("validate.suite_parameters")


class SourceParams(Params):
    project: str = key("project")
    encoding: str = key("data.encoding")


class Validation(NamedTuple):
    """What was found: the report's content, the page to look at, and whether the pipeline may go on."""

    report: dict[str, Any]
    page: str
    failed: list[Result]

    def refuse(self, where: str) -> None:
        """Raise ExpectationsFailed, with a table of what broke, unless the pipeline may go on."""
        if self.failed:
            raise ExpectationsFailed(
                f"{len(self.failed)} of {self.report['n_expectations']} expectations failed:\n"
                f"{_as_text(self.failed)}\n{where} shows the columns. "
                "Correct the source, or review the suite data/expectations.json."
            )


def run(table: Batches, suite: Sequence[Expectation], params: ValidateParams) -> Validation:
    """Check `table` against `suite`.

    Returns
    -------
    Validation
        Its report has row count, held, warned and failed expectations and a result each, without a person's value.

    Raises
    ------
    DataError
        The target is missing, or a column bears a reserved name.
    ParameterError
        The suite names a parameter that `params` lack.
    """
    refuse_reserved(table.schema.names)
    results = check(table, suite, params.suite_parameters)
    failed = [result for result in results if result.failed]
    if not failed and params.target not in table.schema.names:
        raise DataError(
            f"data.target names [{params.target!r}], which the table lacks. It has: {table.schema.names}."
        )
    report = {
        "n_rows": table.num_rows,
        "n_columns": len(table.schema),
        "n_expectations": len(results),
        "n_failed": len(failed),
        "n_warned": sum(result.warned for result in results),
        "results": [result.as_dict() for result in results],
    }
    columns = distributions(table, suite, params.min_category_rows)
    return Validation(report, page(table.num_rows, results, columns, params.min_category_rows), failed)


def _as_text(results: Sequence[Result]) -> str:
    rows = [("column", "expectation", "observed", "share of rows")]
    rows += [
        (r.column or "(table)", r.expectation, r.observed, "" if r.share is None else f"{r.share:.4%}")
        for r in results
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def main(argv: Sequence[str] | None = None) -> None:
    args = arguments("validate", argv, "source", "expectations", "report", "page")
    params = load_params(ValidateParams, args.params)
    origin = load_params(SourceParams, args.params)

    def keyed(content: bytes) -> str:
        return open_keyring(origin.project).digest(content)

    with measured("validate", args.report):
        suite = parse_suite(read_bytes(args.expectations), str(args.expectations))
        with open_batches(args.source, keyed, origin.encoding) as (table, digest):
            validation = run(table, suite, params)
        write_atomic(args.page, validation.page.encode())
        validation.refuse(str(args.page))
        # `encrypt` compares it: what is sealed is what was validated.
        write_report(args.report, {**validation.report, "source_sha256": digest})


if __name__ == "__main__":
    command(main)
