"""The flow that draws a learning curve: one Prefect task run a network, on growing shares of the training rows."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
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
from lockstep.evaluation.learning import SHARES, learning_curve_of, sentence
from tasks._stage import read_report, write_report

REPORT = Path("reports/learning_curve.json")

_SCRATCH = Path(".lockstep/learning_curve")
_EVALUATE = "evaluate"


# `async`, for a synchronous flow joins its heartbeat thread at the end, which sleeps in steps of a second.
@flow(name="learning-curve", persist_result=False)
async def learning_curve(
    networks: Annotated[int, Field(ge=2)] = 3, jobs: Annotated[int, Field(ge=1)] = 1
) -> State[Any]:
    """Train on growing shares of the training rows, to see what more rows would do for the model.

    Args:
        networks: How many networks a share, each on rows and from a seed of its own.
        jobs: How many of them may be trained side by side.
    """  # Not numpydoc: Prefect takes the texts of its form from here, and reads this style alone.
    return await alone(Path.cwd(), partial(_learning_curve, Path.cwd(), networks, jobs))


# They are JSON as they stand, and Prefect would import FastAPI to find that out.
learning_curve.serialize_parameters = dict  # type: ignore[method-assign, assignment]


async def _learning_curve(root: Path, networks: int, jobs: int) -> State[Any]:
    # The report names the model whose training it is about.
    _, [_, evaluation] = inputs_of(root, (_EVALUATE,), {"evaluation": (_EVALUATE, "--report")})
    state, _ = await bring_up_to_date(root, [_EVALUATE], jobs=jobs)
    if not state.is_completed():
        return state
    try:
        state, found = await _train(root, networks, jobs)
    finally:
        shutil.rmtree(root / _SCRATCH, ignore_errors=True)
    if state.is_completed():
        report = {**found, "candidate": read_report(root / evaluation)["candidate"]}
        write_report(root / REPORT, report)
        await show_table(
            _rows(report), title="Learning curve", key="learning-curve", description=sentence(report)
        )
    return state


async def _train(root: Path, networks: int, jobs: int) -> tuple[State[Any], dict[str, Any]]:
    """Train and score every network, `jobs` of them at a time."""
    _, arguments = inputs_of(root, TRAINING_STAGES, TRAINING_INPUTS)
    names = [[f"{share:g}, {number + 1}" for number in range(networks)] for share in SHARES]

    def report_of(name: str) -> Path:
        return root / _SCRATCH / f"{name.replace(', ', '-')}.json"

    calls = {
        name: StageCall(
            "tasks._learning",
            [*arguments, "--share", str(share), "--network", str(number), "--report", str(report_of(name))],
            (),
        )
        for share, of_share in zip(SHARES, names, strict=True)
        for number, name in enumerate(of_share)
    }

    def outcome(name: str) -> str:
        return f"average precision {read_report(report_of(name))['average_precision'][0]:.4f}"

    with make_display(table=False) as display:
        stopped, failures = await Calls(root, display, "network", jobs, outcome).make(calls)
    for name, why in failures.items():
        return Failed(message=f"Network {name} failed: {why}"), {}
    if stopped:
        return Failed(message="A network was stopped."), {}
    reports = [[read_report(report_of(name)) for name in of_share] for of_share in names]
    done = f"{len(calls)} networks were trained on {len(SHARES)} shares of the rows. Report: {REPORT}"
    return Completed(message=done), learning_curve_of(reports)


def _rows(report: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {
            "training rows": f"{point['n_train']:,}",
            "average precision": "{:.4f} ({:.4f} to {:.4f})".format(
                point["average_precision"], *point["interval"]
            ),
        }
        for point in report["points"]
    ]
