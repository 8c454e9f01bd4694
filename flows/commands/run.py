"""`lockstep run`: bring the pipeline up to date."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from flows import _server
from flows.commands._project import check_python, project_root, recover
from flows.commands._up_to_date import nothing_to_do
from lockstep.errors import LockstepError, StageFailed


class Interrupted(LockstepError):
    """The run was interrupted or cancelled."""

    exit_code = 130


def run(
    stages: Annotated[
        list[str] | None, typer.Argument(help="Stages, with what is upstream of them; all by default.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Run them though nothing changed.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Independent stages to run side by side.")] = 1,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A parameter for this run alone, such as train.epochs=5: the run becomes a DVC experiment, which "
            "leaves the workspace as it is and does not deploy. May be repeated.",
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the experiment; one is made up otherwise.")] = "",
    allow_missing: Annotated[
        bool,
        typer.Option("--allow-missing", help="Data that is not here, but was recorded, is no reason to run."),
    ] = False,
) -> None:
    """Bring the pipeline up to date, as a Prefect flow run; with --set, run an experiment."""
    root = project_root()
    check_python()
    recover(root)
    if overrides:
        from flows._experiments import unused

        name = unused(root, name)
    elif not force and not name and nothing_to_do(root, *(stages or ()), allow_missing=allow_missing):
        return
    where = _server.settle(root)
    if where:
        print(f"Prefect server: {where.removesuffix('/api')}")
    else:
        print(
            "No Prefect server: this run starts its own, which takes some seconds. `lockstep up` keeps one."
        )
    sys.stdout.flush()
    _run_flow(
        where is None,
        {
            "stages": stages or [],
            "force": force,
            "jobs": jobs,
            "overrides": overrides or [],
            "name": name,
            "allow_missing": allow_missing,
        },
    )
    if overrides:
        _print_experiment(root, name)


def _print_experiment(root: Path, name: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from flows._experiments import compare

    table = Table(title=f"Experiment {name}", title_justify="left")
    table.add_column("metric")
    for column in ("workspace", name, "change"):
        table.add_column(column, justify="right")
    for metric, old, new in compare(root, name):
        both = isinstance(old, int | float) and isinstance(new, int | float)
        table.add_row(metric, _figure(old), _figure(new), f"{new - old:+.4g}" if both else "")
    console = Console()
    if table.row_count:
        console.print(table)
    console.print(
        f"Next:  lockstep apply {name}    brings it into the workspace, where `lockstep run` deploys it\n"
        "       dvc exp show             lists all of them",
        highlight=False,
        soft_wrap=True,
    )


def _figure(value: object) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)


def _run_flow(own_server: bool, parameters: dict[str, Any]) -> None:
    import httpx

    from flows.lifecycle import lifecycle

    async def go() -> Any:
        return await lifecycle(**parameters, return_state=True)

    try:
        if own_server:
            from flows import _own_server

            _own_server.start()
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
