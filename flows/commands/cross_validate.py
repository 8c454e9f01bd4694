"""`lockstep cross-validate`: how far the metrics depend on which rows are trained on."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.commands._flow import run_flow
from flows.commands._project import check_python, project_root, recover


def cross_validate(
    folds: Annotated[int, typer.Option(min=2, help="How many folds.")] = 5,
    jobs: Annotated[int, typer.Option(min=1, help="Folds to train side by side.")] = 1,
) -> None:
    """Train and score once a fold of the training and validation rows; test rows stay untouched."""
    root = project_root()
    check_python()
    recover(root)
    run_flow(root, "cross_validate", {"folds": folds, "jobs": jobs})
