"""Whether figures are those of the workspace as it stands."""

from __future__ import annotations

from pathlib import Path

from flows._changes import ABOUT_THE_STAGE
from lockstep.errors import LockstepError

_SHOWN = 3


def notice(root: Path) -> str | None:
    """One line that names what changed since `evaluate`; None where nothing did, or DVC cannot tell."""
    if not (root / "dvc.lock").is_file():
        return None
    from flows._dvc import Pipeline
    from flows._recorded import EVALUATION

    try:
        # What was not pulled has not changed.
        pipeline = Pipeline(root, allow_missing=True)
        try:
            judged = pipeline.makers(EVALUATION)
            found = {stage: reasons for stage, reasons in pipeline.changes() if stage in judged}
        finally:
            pipeline.close()
    except LockstepError:
        return None
    # A module or a parameter may be of several stages.
    changes = list(
        dict.fromkeys(_told(stage, reason) for stage, reasons in found.items() for reason in reasons)
    )
    if not changes:
        return None
    more = [f"{len(changes) - _SHOWN} more"] if len(changes) > _SHOWN else []
    return f"Changed since: {'; '.join([*changes[:_SHOWN], *more])}. `lockstep run` brings this up to date."


def _told(stage: str, reason: str) -> str:
    """A reason that names no file or parameter says of which stage it is."""
    return f"{stage}: {reason}" if reason in ABOUT_THE_STAGE else reason
