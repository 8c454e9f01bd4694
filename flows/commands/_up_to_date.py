"""The answer that most runs need, without Typer and Prefect."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def nothing_to_do(root: Path, *stages: str, allow_missing: bool = False) -> bool:
    """Whether no stage would run, the source looked at anew; if so, say it. Asked again, it remembers.

    Raises
    ------
    ParameterError
        A stage that is about to run would refuse its parameters.
    """
    from flows._dvc import Pipeline
    from flows._refresh import refresh

    if not allow_missing:
        refresh(root)
    pipeline = Pipeline(root, stages, allow_missing=allow_missing)
    if any(reasons for _, reasons in pipeline.changes()):
        from flows._parameters import require_good

        require_good(root, pipeline)
        return False
    print(f"Nothing to do: all {len(pipeline.plan)} stages are up to date.")
    return True
