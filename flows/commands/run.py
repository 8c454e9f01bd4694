"""`lockstep run`: bring the pipeline up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commands._flow import run_flow
from flows.commands._project import check_python, project_root, recover
from flows.commands._up_to_date import nothing_to_do
from lockstep.errors import UsageError


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
    if name and not overrides:
        raise UsageError("--name is for an experiment: set a parameter too, such as --set train.epochs=5.")
    # Each of these judges the parameters, for a server takes long to start.
    if overrides:
        from flows._experiments import plan, unused

        name = unused(root, name)
        plan(root, stages or (), overrides)
    elif force:
        from flows._dvc import Pipeline
        from flows._parameters import require_good

        require_good(root, Pipeline(root, stages or ()), force=True)
    elif nothing_to_do(root, *(stages or ()), allow_missing=allow_missing):
        return
    run_flow(
        root,
        "lifecycle",
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
        return
    from flows._card import PAGE

    if (root / PAGE).is_file():
        print(f"Model card: {PAGE}    `lockstep report` opens it")


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
        f"Next:  lockstep apply {name}    brings it into the workspace; `lockstep run` deploys it if its gates pass\n"
        "       dvc exp show             lists all of them",
        highlight=False,
        soft_wrap=True,
    )


def _figure(value: object) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
