"""`lockstep search`: look for parameters that train a better model."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.commands._flow import run_flow
from flows.commands._project import check_python, project_root, recover


def search(
    jobs: Annotated[int, typer.Option(min=1, help="Trials to train side by side.")] = 1,
) -> None:
    """Search for better parameters, as section search of params.yaml says: a DVC experiment each trial.

    Trials are judged on the validation rows. A search that was stopped or killed goes on where it was.
    """
    root = project_root()
    check_python()
    recover(root)
    run_flow(root, "search", {"jobs": jobs})
