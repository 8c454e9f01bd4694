"""`lockstep learning-curve`: whether more rows would make the model better."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.commands._flow import run_flow
from flows.commands._project import check_python, project_root, recover


def learning_curve(
    networks: Annotated[int, typer.Option(min=2, help="Networks to train on each share of the rows.")] = 3,
    jobs: Annotated[int, typer.Option(min=1, help="Networks to train side by side.")] = 1,
) -> None:
    """Train on growing shares of the training rows, and judge on the validation rows; test rows stay untouched."""
    root = project_root()
    check_python()
    recover(root)
    run_flow(root, "learning_curve", {"networks": networks, "jobs": jobs})
