"""`lockstep run`: bring the pipeline up to date."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Any

import typer

from flows import _server
from flows.commands._project import check_python, finish_rotation, project_root
from flows.commands._up_to_date import nothing_to_do
from lockstep.errors import LockstepError, StageFailed


class Interrupted(LockstepError):
    """The run was interrupted or cancelled."""

    exit_code = 130


def run(
    stages: Annotated[
        list[str] | None, typer.Argument(help="Stages, with what is upstream of them; all by default.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Run them though nothing changed.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Independent stages to run side by side.")] = 1,
) -> None:
    """Bring the pipeline up to date, as a Prefect flow run."""
    root = project_root()
    check_python()
    finish_rotation(root)
    if not force and nothing_to_do(root, *(stages or ())):
        return
    where = _server.settle(root)
    if where:
        print(f"Prefect server: {where.removesuffix('/api')}")
    else:
        print(
            "No Prefect server: this run starts its own, which takes some seconds. `lockstep up` keeps one."
        )
    sys.stdout.flush()
    _run_flow(stages, force, jobs)


def _run_flow(stages: list[str] | None, force: bool, jobs: int) -> None:
    import httpx

    from flows.lifecycle import lifecycle

    async def go() -> Any:
        return await lifecycle(stages, force, jobs, return_state=True)

    try:
        state = asyncio.run(go())
    except httpx.TransportError:
        raise LockstepError(
            "The Prefect server cannot be reached any more, so it does not know how this run ended. "
            "What ended is recorded in dvc.lock; run again for the rest."
        ) from None
    except RuntimeError as error:
        # So Prefect says that its ephemeral server did not come up.
        if "Prefect API server" not in str(error):
            raise
        raise LockstepError(
            "Prefect's own server did not start. Start one with `lockstep up`, then run again."
        ) from None
    if state.is_cancelled():
        raise Interrupted(state.message or "Stopped.")
    if not state.is_completed():
        raise StageFailed(state.message or f"The flow run ended as {state.name}.")
    print(state.message)
