"""`lockstep apply`: bring an experiment into the workspace."""

from __future__ import annotations

from typing import Annotated

import typer

from flows._locks import RUN, only_one
from flows.commands._project import project_root, recover
from lockstep.errors import UsageError


def apply(
    experiment: Annotated[
        str, typer.Argument(help="Name of the experiment, as `dvc exp show` lists it.")
    ] = "",
) -> None:
    """Bring an experiment into the workspace: parameters, dvc.lock, reports and outputs."""
    from flows import _experiments

    root = project_root()
    if not experiment:
        names = _experiments.names(root)
        known = (
            f"There are: {', '.join(names)}." if names else "There is none; `lockstep run --set` makes one."
        )
        raise UsageError(f"Name an experiment. {known}")
    recover(root)
    with only_one(root / RUN, f"A run ({{owner}}) works in {root}. Wait for it, or stop it.", keep=True):
        _experiments.apply(root, experiment)
    print(
        f"The workspace is that of experiment {experiment}. Next: `lockstep run`, which deploys it if its gates pass."
    )
