"""Stage `validate`: the source table against its expectation suite, before anything else touches it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from lockstep.data.columns import refuse_reserved
from lockstep.data.expectations import Expectation, Result, check, parse_suite
from lockstep.data.sources import read_content
from lockstep.data.tables import parse_source, read_bytes, require
from lockstep.errors import ExpectationsFailed
from lockstep.sealing.keyring import open_keyring
from tasks._params import Params, key, load_params
from tasks._stage import arguments, command, measured, write_report


class ValidateParams(Params):
    target: str = key("data.target")


class SourceParams(Params):
    project: str = key("project")
    encoding: str = key("data.encoding")


def run(table: pa.Table, suite: Sequence[Expectation], params: ValidateParams) -> dict[str, Any]:
    """Check `table` against `suite`.

    Returns
    -------
    dict
        Report: row count, passed and failed expectations, a result each. Without a person's value.

    Raises
    ------
    ExpectationsFailed
        With a table that names column, expectation, observed figure and share of rows.
    DataError
        The target is missing, or a column bears a reserved name.
    """
    refuse_reserved(table.column_names)
    results = check(table, suite)
    failed = [result for result in results if not result.passed]
    if failed:
        raise ExpectationsFailed(
            f"{len(failed)} of {len(results)} expectations failed:\n{_as_text(failed)}\n"
            "Correct the source, or review the suite data/expectations.json."
        )
    require(table, [params.target], "data.target")
    return {
        "n_rows": len(table),
        "n_columns": table.num_columns,
        "n_expectations": len(results),
        "n_failed": 0,
        "results": [result.as_dict() for result in results],
    }


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
    args = arguments("validate", argv, "source", "expectations", "report")
    params = load_params(ValidateParams, args.params)
    origin = load_params(SourceParams, args.params)
    with measured("validate"):
        suite = parse_suite(read_bytes(args.expectations), str(args.expectations))
        content, name = read_content(args.source, lambda data: open_keyring(origin.project).digest(data))
        report = run(parse_source(content, name, encoding=origin.encoding), suite, params)
        # `encrypt` compares it: what is sealed is what was validated.
        report["source_sha256"] = hashlib.sha256(content).hexdigest()
        write_report(args.report, report)


if __name__ == "__main__":
    command(main)
