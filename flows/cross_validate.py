"""The flow that cross-validates: one Prefect task run a fold, for the mean and the spread of the metrics.

K-fold cross-validation (Stone 1974, "Cross-Validatory Choice and Assessment of Statistical Predictions"), stratified by
class and grouped by identical features. The folds' training rows overlap, so their spread understates the variance
of a figure (Bengio & Grandvalet 2004, "No Unbiased Estimator of the Variance of K-Fold Cross-Validation").
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from flows._calls import TRAINING_INPUTS, TRAINING_STAGES, Calls, inputs_of
from flows._command import StageCall
from flows._display import make_display
from flows._flow_run import alone
from flows._tables import show_table
from flows._walk import bring_up_to_date
from tasks._stage import read_report, write_report

REPORT = Path("reports/cross_validation.json")

_SCRATCH = Path(".lockstep/cross_validation")


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
    before, arguments = inputs_of(root, TRAINING_STAGES, TRAINING_INPUTS)
    if before:
        state, _ = await bring_up_to_date(root, before, jobs=jobs)
        if not state.is_completed():
            return state
    state, reports = await _score(root, arguments, folds, jobs)
    if state.is_completed():
        report = _summary(reports)
        write_report(root / REPORT, report)
        await show_table(
            _rows(report),
            title=f"{folds}-fold cross-validation",
            key="cross-validation",
            description=f"Each fold trained on the others, test rows left aside. Report: {REPORT}",
        )
    return state


def _report_of(root: Path, fold: str) -> Path:
    return root / _SCRATCH / f"fold-{fold}.json"


def _figures_of(root: Path, fold: str) -> str:
    figures = read_report(_report_of(root, fold))["figures"]
    return ", ".join(f"{metric} {value:.4f}" for metric, value in figures.items())


async def _score(
    root: Path, arguments: Sequence[str], folds: int, jobs: int
) -> tuple[State[Any], list[dict[str, Any]]]:
    """Train and score every fold, `jobs` of them at a time."""
    calls = {}
    for number in range(folds):
        name = str(number + 1)
        argv = [
            *arguments,
            "--fold",
            str(number),
            "--folds",
            str(folds),
            "--report",
            str(_report_of(root, name)),
        ]
        calls[name] = StageCall("tasks._fold", argv, ())
    with make_display(table=False) as display:
        stopped, failures = await Calls(root, display, "fold", jobs, partial(_figures_of, root)).make(calls)
    for name, why in failures.items():
        return Failed(message=f"Fold {name} failed: {why}"), []
    if stopped:
        return Failed(message="A fold was stopped."), []
    reports = [read_report(_report_of(root, name)) for name in calls]
    return Completed(message=f"{folds} folds were trained and scored. Report: {REPORT}"), reports


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
