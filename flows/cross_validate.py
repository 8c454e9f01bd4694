"""The flow that cross-validates: one Prefect task run a fold, for the mean and the spread of the metrics.

K-fold cross-validation (Stone 1974, "Cross-Validatory Choice and Assessment of Statistical Predictions"), stratified by
class and grouped by identical features. The folds' training rows overlap, so their spread understates the variance
of a figure (Bengio & Grandvalet 2004, "No Unbiased Estimator of the Variance of K-Fold Cross-Validation").
"""

from __future__ import annotations

import asyncio
import os
import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from prefect import Task, flow
from prefect.artifacts import acreate_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed
from pydantic import Field

from flows._command import StageCall
from flows._display import Display, make_display
from flows._dvc import Pipeline
from flows._flow_run import alone
from flows._progress import reported
from flows._runner import LocalRunner
from flows._stopping import cancel_all
from flows._walk import bring_up_to_date
from lockstep.errors import UsageError
from lockstep.progress import Progress
from tasks._stage import explain, read_report, write_report

REPORT = Path("reports/cross_validation.json")

_SCRATCH = Path(".lockstep/cross_validation")
_RESAMPLE, _TRAIN = "resample", "train"


# `async`, for a synchronous flow joins its heartbeat thread at the end, which sleeps in steps of a second.
@flow(name="cross-validate", persist_result=False)
async def cross_validate(
    folds: Annotated[int, Field(ge=2)] = 5, jobs: Annotated[int, Field(ge=1)] = 1
) -> State[Any]:
    """Train and score once a fold of the training and validation rows, with the parameters as they stand.

    Args:
        folds: How many folds.
        jobs: How many of them may run side by side.
    """  # Not numpydoc: Prefect takes the texts of its form from here, and reads this style alone.
    return await alone(Path.cwd(), partial(_cross_validate, Path.cwd(), folds, jobs))


# They are JSON as they stand, and Prefect would import FastAPI to find that out.
cross_validate.serialize_parameters = dict  # type: ignore[method-assign, assignment]


async def _cross_validate(root: Path, folds: int, jobs: int) -> State[Any]:
    before, arguments = _prepare(root)
    if before:
        state, _ = await bring_up_to_date(root, before, jobs=jobs)
        if not state.is_completed():
            return state
    with make_display(table=False) as display:
        state, reports = await _Folds(root, arguments, display, folds, jobs).go()
    if state.is_completed():
        report = _summary(reports)
        write_report(root / REPORT, report)
        _print(report)
        await _publish(report)
    return state


def _prepare(root: Path) -> tuple[list[str], list[str]]:
    """Names of the stages that make a fold's rows, and where these and the key's id lie, as arguments."""
    pipeline = Pipeline(root, [_RESAMPLE, _TRAIN])
    try:
        found = {
            "train": pipeline.argument(_RESAMPLE, "--train"),
            "validation": pipeline.argument(_TRAIN, "--validation"),
            "key-id": pipeline.argument(_TRAIN, "--key-id"),
        }
        missing = [name for name, path in found.items() if path is None]
        if missing:
            raise UsageError(
                f"The stages {_RESAMPLE} and {_TRAIN} of dvc.yaml are not Lockstep's own: --{missing[0]} is missing."
            )
        before = [stage.name for stage in pipeline.plan if stage.name not in (_RESAMPLE, _TRAIN)]
        return before, [word for name, path in found.items() for word in (f"--{name}", str(path))]
    finally:
        pipeline.close()


class _Folds:
    """Trains and scores every fold, `jobs` of them at a time."""

    def __init__(self, root: Path, arguments: Sequence[str], display: Display, folds: int, jobs: int) -> None:
        self._root = root
        self._arguments = arguments
        self._display = display
        self._folds = folds
        self._turn = asyncio.Semaphore(jobs)
        self._runner = LocalRunner(display.output)
        self._failure = ""

    async def go(self) -> tuple[State[Any], list[dict[str, Any]]]:
        runs = [asyncio.create_task(self._task_run(number)) for number in range(self._folds)]
        try:
            states = await asyncio.gather(*runs)
        except BaseException:
            await cancel_all(runs)
            raise
        finally:
            await self._runner.close()
        if self._failure:
            return Failed(message=self._failure), []
        if not all(state.is_completed() for state in states):
            return Failed(message="A fold was stopped."), []
        reports = [read_report(self._report(number)) for number in range(self._folds)]
        return Completed(message=f"{self._folds} folds were trained and scored. Report: {REPORT}"), reports

    def _report(self, number: int) -> Path:
        return self._root / _SCRATCH / f"fold-{number + 1}.json"

    async def _task_run(self, number: int) -> State[Any]:
        async def body() -> State[Any]:
            return await self._train(number)

        run: Any = Task(
            body,
            name="fold",
            task_run_name=lambda: f"fold {number + 1}",
            persist_result=False,
            cache_policy=NO_CACHE,
        )
        async with self._turn:
            if self._failure:
                return Cancelled(message="An earlier fold failed.")
            state: State[Any] = await run(return_state=True)
        return state

    async def _train(self, number: int) -> State[Any]:
        """The body of a task run: it returns its state, for Prefect logs the traceback of what is raised."""
        name = f"fold {number + 1}"
        argv = [*self._arguments, "--fold", str(number), "--folds", str(self._folds)]
        argv += ["--report", str(self._report(number))]
        self._display.start(name)
        self._display.run(name)
        async with reported(name) as to_prefect:

            def report(step: Progress) -> None:
                self._display.step(name, step)
                to_prefect(step)

            try:
                call = StageCall("tasks._fold", argv, ())
                await self._runner.call(call, str(self._root), os.environ, report, {})
            except asyncio.CancelledError:
                current = asyncio.current_task()
                if current:
                    current.uncancel()
                self._display.end(name, "stopped")
                return Cancelled(message="It was stopped.")
            except Exception as error:
                self._display.end(name, "failed")
                self._failure = f"Fold {number + 1} failed: {explain(error)}"
                return Failed(message=explain(error))
        figures = read_report(self._report(number))["figures"]
        what = ", ".join(f"{metric} {value:.4f}" for metric, value in figures.items())
        self._display.end(name, what)
        return Completed(message=what)


def _summary(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    metrics = {name: [report["figures"][name] for report in reports] for name in reports[0]["figures"]}
    return {
        "n_folds": len(reports),
        "metrics": {
            name: {"mean": statistics.fmean(values), "standard_deviation": statistics.stdev(values)}
            for name, values in metrics.items()
        },
        "folds": list(reports),
    }


def _rows(report: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row for each metric: mean, standard deviation and each fold's figure."""
    return [
        {
            "metric": name,
            "mean": f"{found['mean']:.4f}",
            "standard deviation": f"{found['standard_deviation']:.4f}",
            **{f"fold {i}": f"{fold['figures'][name]:.4f}" for i, fold in enumerate(report["folds"], 1)},
        }
        for name, found in report["metrics"].items()
    ]


def _print(report: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    rows = _rows(report)
    table = Table(title=f"{report['n_folds']}-fold cross-validation", title_justify="left")
    for column in rows[0]:
        table.add_column(column, justify="left" if column == "metric" else "right")
    for row in rows:
        table.add_row(*row.values())
    Console().print(table)


async def _publish(report: Mapping[str, Any]) -> None:
    # The work does not depend on whether somebody can look at it.
    with suppress(Exception):
        await acreate_table_artifact(
            _rows(report),
            key="cross-validation",
            description=f"Each fold trained on the others, test rows left aside. Report: {REPORT}",
        )
