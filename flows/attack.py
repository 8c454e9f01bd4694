"""The flow that attacks the model that ships with LiRA: one Prefect task run a network, and one for the attack."""

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

from flows._calls import Calls, inputs_of
from flows._command import StageCall
from flows._display import make_display
from flows._flow_run import alone
from flows._tables import show_table
from flows._walk import bring_up_to_date
from flows.commands._project import stage_arguments
from tasks._stage import read_report

REPORT = Path("reports/lira.json")

_SCRATCH = Path(".lockstep/lira")
_EVALUATE = "evaluate"


# `async`, for a synchronous flow joins its heartbeat thread at the end, which sleeps in steps of a second.
@flow(name="attack", persist_result=False)
async def attack(
    networks: Annotated[int, Field(ge=2, multiple_of=2)] = 8, jobs: Annotated[int, Field(ge=1)] = 1
) -> State[Any]:
    """Train networks on halves of the rows, and tell by them whom the model that ships was trained on.

    Args:
        networks: How many networks, an even number; more of them find more.
        jobs: How many of them may be trained side by side.
    """  # Not numpydoc: Prefect takes the texts of its form from here, and reads this style alone.
    return await alone(Path.cwd(), partial(_attack, Path.cwd(), networks, jobs))


# They are JSON as they stand, and Prefect would import FastAPI to find that out.
attack.serialize_parameters = dict  # type: ignore[method-assign, assignment]


async def _attack(root: Path, networks: int, jobs: int) -> State[Any]:
    before, _ = inputs_of(root, (_EVALUATE,), {})
    if before:
        state, _ = await bring_up_to_date(root, before, jobs=jobs)
        if not state.is_completed():
            return state
    try:
        state = await _train_and_attack(root, networks, jobs)
    finally:
        shutil.rmtree(root / _SCRATCH, ignore_errors=True)
    if state.is_completed():
        await show_table(
            _rows(read_report(root / REPORT)),
            title="Membership inference",
            key="membership-inference",
            description=f"LiRA on the model that ships. Report: {REPORT}",
        )
    return state


async def _train_and_attack(root: Path, networks: int, jobs: int) -> State[Any]:
    arguments = stage_arguments(_EVALUATE, root / "dvc.yaml")
    scores = {str(i + 1): str(root / _SCRATCH / f"network-{i + 1}.sealed") for i in range(networks)}
    shadows = {
        name: StageCall(
            "tasks._shadow",
            [*arguments, "--shadow", str(int(name) - 1), "--scores", path],
            ("tensorflow", "keras"),
        )
        for name, path in scores.items()
    }
    last = ["--lira", str(root / REPORT), "--scores", *scores.values()]
    lira = {"LiRA": StageCall("tasks._lira", [*arguments, *last], ())}
    with make_display(table=False) as display:
        for kind, calls in (("network", shadows), ("attack", lira)):
            stopped, failures = await Calls(root, display, kind, jobs, lambda name: "done").make(calls)
            for name, why in failures.items():
                return Failed(message=f"{kind.capitalize()} {name} failed: {why}")
            if stopped:
                return Failed(message=f"A {kind} was stopped.")
    return Completed(message=f"{networks} networks were trained, and attacked with. Report: {REPORT}")


def _rows(report: Mapping[str, Any]) -> list[dict[str, str]]:
    found = report["attack"]
    low, high = found["interval"]
    return [
        {
            "attack": f"LiRA, {report['networks']} networks",
            f"members found at {report['false_positive_rate']:.2%}": f"{found['true_positive_rate']:.2%}",
            "95 % interval": f"{low:.2%} to {high:.2%}",
            "AUC": f"{found['roc_auc']:.4f}",
            "verdict": report["verdict"] or "not judged",
        }
    ]
