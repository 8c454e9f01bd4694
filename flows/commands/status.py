"""`lockstep status`: which stages would run, and why."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from flows._rwlock import mend
from flows.commands._project import project_root
from lockstep.errors import LockstepError


def status(
    stages: Annotated[
        list[str] | None, typer.Argument(help="Stages, with what is upstream of them; all by default.")
    ] = None,
    allow_missing: Annotated[
        bool,
        typer.Option("--allow-missing", help="Data that is not here, but was recorded, is no reason to run."),
    ] = False,
) -> None:
    """Say which stages would run, and why, and whether their parameters are good; a run may go on meanwhile."""
    from flows._dvc import Pipeline
    from flows._parameters import require_good

    root = project_root()
    try:
        if mended := mend(root):
            print(mended)
    except LockstepError as error:
        # To compare needs no lock.
        print(f"warning: {error}", file=sys.stderr)
    pipeline = Pipeline(root, stages or (), allow_missing=allow_missing)
    outdated = False
    for name, reasons, after in pipeline.outdated():
        outdated = True
        print(f"{name}: {'; '.join(reasons) if reasons else 'may run after ' + ', '.join(after)}")
    if outdated:
        sys.stdout.flush()
        require_good(root, pipeline)
    else:
        print(f"All {len(pipeline.plan)} stages are up to date.")
