"""The flow: brings the stages of dvc.yaml up to date, one Prefect task run a stage."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from flows._artifacts import publish_comparison
from flows._experiments import compare, experiment
from flows._flow_run import alone
from flows._refresh_task import refreshed
from flows._walk import bring_up_to_date
from lockstep.errors import LockstepError


# `async`, for a synchronous flow joins its heartbeat thread at the end, which sleeps in steps of a second.
@flow(name="lifecycle", persist_result=False)
async def lifecycle(
    stages: Sequence[str] = (),
    force: bool = False,
    jobs: Annotated[int, Field(ge=1)] = 1,
    overrides: Sequence[str] = (),
    name: str = "",
    allow_missing: bool = False,
) -> State[Any]:
    """Bring a project's pipeline up to date, or run it with other parameters as an experiment.

    Args:
        stages: Names of stages, whose upstream stages are then included; all of dvc.yaml when empty.
        force: Run them though nothing changed.
        jobs: How many independent stages may run side by side.
        overrides: Parameters for this run alone, such as train.learning_rate=0.001. The run becomes a DVC
            experiment, which leaves the workspace as it is and does not deploy; `lockstep apply` brings it in.
        name: Name of the experiment; one is made up when empty.
        allow_missing: Data that is not here, but was recorded, is no reason to run.
    """  # Not numpydoc: Prefect takes the texts of its form from here, and reads this style alone.
    return await alone(
        Path.cwd(), partial(_run, Path.cwd(), stages, force, jobs, overrides, name, allow_missing)
    )


# They are JSON as they stand, and Prefect would import FastAPI to find that out.
lifecycle.serialize_parameters = dict  # type: ignore[method-assign, assignment]


async def _run(
    root: Path,
    stages: Sequence[str],
    force: bool,
    jobs: int,
    overrides: Sequence[str],
    name: str,
    allow_missing: bool,
) -> State[Any]:
    if overrides:
        return await _experiment(root, stages, force, jobs, overrides, name, allow_missing)
    if name:
        return Failed(message="A name is for an experiment: set a parameter too, such as train.epochs=5.")
    if not allow_missing and (failed := await refreshed(root)):
        return failed
    # Some stages alone come to no verdict.
    state, changed = await bring_up_to_date(
        root, stages, force=force, jobs=jobs, allow_missing=allow_missing, push=not stages
    )
    # Most of all where `deploy` refused: the card says why.
    if state.is_completed() or "evaluate" in changed:
        from flows._card import write_card

        # Nothing was evaluated yet, or the disk is full: the stages are recorded all the same.
        with suppress(LockstepError, OSError):
            write_card(root)
    return state


async def _experiment(
    root: Path,
    stages: Sequence[str],
    force: bool,
    jobs: int,
    overrides: Sequence[str],
    name: str,
    allow_missing: bool,
) -> State[Any]:
    with experiment(root, stages, overrides, name) as made:
        state, changed = await bring_up_to_date(
            made.tree.root, made.stages, force=force, jobs=jobs, allow_missing=allow_missing
        )
        if not state.is_completed():
            return state
        made.save(changed)
    await publish_comparison(made.name, compare(root, made.name))
    return Completed(
        message=f"Experiment {made.name}: {state.message} `lockstep apply {made.name}` brings it into the workspace."
    )
