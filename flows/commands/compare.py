"""`lockstep compare`: what each method for one place in the pipeline is good for on this table."""

from __future__ import annotations

from typing import Annotated

import typer

from flows._comparisons import COMPARISONS, comparison
from flows.commands._flow import run_flow
from flows.commands._project import check_python, project_root, recover


def compare(
    what: Annotated[str, typer.Argument(help=f"What to compare: {', '.join(COMPARISONS)}.")],
    methods: Annotated[list[str] | None, typer.Argument(help="Methods to compare; else all.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE for all methods, such as train.epochs=3.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Methods to train side by side.")] = 1,
) -> None:
    """Train once a method, and judge each on the validation rows; test rows stay untouched."""
    comparison(what, methods or [])
    root = project_root()
    check_python()
    recover(root)
    parameters = {"what": what, "methods": methods or [], "overrides": overrides or [], "jobs": jobs}
    run_flow(root, "compare", parameters)
