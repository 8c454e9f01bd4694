"""Lockstep's default network beside the learners that people would pick for tables.

    python -m benchmarks.model_quality run [--tables NAME ...] [--learners NAME ...] [--minutes N] [--clock wall|cpu]
    python -m benchmarks.model_quality report

Needs `pip install 'lockstep[pipeline,demo,bench]'`. Every learner has the same rows, and the same time to search in a
small space of its own: configurations are drawn at random, and the one of the least log loss on the validation rows is
scored on the test rows, once. The default of each learner (the values of its library, the number of trees or epochs by
early stopping on the validation rows) is fitted before that, stands in the table too, and is a candidate.

The Census table has its own test rows; the small tables are cross-validated in five folds, each with its own search.
`run` writes a JSON a learner and table under benchmarks/results/ and skips what is there: delete a file to measure it
anew, after a change of Lockstep's network its own.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import distributions
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks import _report
from benchmarks._search import CLOCKS, search
from benchmarks._tables import TABLES
from benchmarks.peers import LEARNERS, learner
from lockstep.errors import DataError, LockstepError, UsageError

RESULTS = Path(__file__).resolve().parent / "results"


def run(
    tables: Sequence[str], learners: Sequence[str], minutes: float, clock: str, results: Path = RESULTS
) -> None:
    """Measure each of `learners` on each of `tables`, and keep what comes out in a file of `results` each.

    Raises
    ------
    UsageError
        A learner is not installed.
    """
    missing = sorted({learner(name).PACKAGE for name in learners} - _installed())
    if missing:
        raise UsageError(
            f"{missing} must be installed. Run `pip install 'lockstep[bench]'`, or choose among --learners."
        )
    for table in tables:
        for name in learners:
            path = results / table / f"{name}.json"
            if path.exists():
                continue
            print(f"{table}: {name} ...", flush=True)
            # A process each: their thread pools do not meet, and none inherits another's memory.
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                try:
                    found = pool.submit(_measure, table, name, minutes, clock).result()
                except DataError as error:
                    print(f"  left out: {error}")
                    continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_as_json(found), encoding="utf-8")


def _installed() -> set[str]:
    return {found.name for found in distributions()}


def _measure(table: str, name: str, minutes: float, clock: str) -> dict[str, Any]:
    return search(learner(name), TABLES[table](), minutes, clock)


def _as_json(found: dict[str, Any]) -> str:
    # A line for each part: draws are many numbers.
    lines = (f"  {json.dumps(name)}: {json.dumps(part)}" for name, part in found.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(required=True, dest="command")
    measure = commands.add_parser("run", help="measure what benchmarks/results/ lacks")
    measure.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES), metavar="NAME")
    measure.add_argument("--learners", nargs="+", choices=LEARNERS, default=LEARNERS, metavar="NAME")
    measure.add_argument("--minutes", type=float, default=20, help="search time of a learner on a table")
    measure.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu where others use the machine")
    commands.add_parser("report", help="print the results as Markdown")
    options = parser.parse_args(argv)
    try:
        if options.command == "run":
            run(options.tables, options.learners, options.minutes, options.clock)
        else:
            print(_report.markdown(RESULTS))
    except LockstepError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
