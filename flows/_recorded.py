"""The verdict of the last run counts as `evaluate` wrote it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lockstep.errors import ReportAltered, UsageError
from lockstep.evaluation.gates import require_consistent
from tasks._recorded import require_recorded

EVALUATION = "reports/evaluation.json"
_LOCK = "dvc.lock"


def read_evaluation(root: Path) -> dict[str, Any]:
    """The report of `evaluate` in the workspace `root`.

    Raises
    ------
    UsageError
        Nothing was evaluated yet.
    ReportAltered
        It is not what the stage wrote.
    """
    path = root / EVALUATION
    if not path.is_file():
        raise UsageError(f"{EVALUATION} is not here: nothing was evaluated yet. Run `lockstep run` first.")
    return require_genuine({EVALUATION: path.read_bytes()}, lock_of(root))


def lock_of(root: Path) -> bytes | None:
    """Content of dvc.lock; None where there is none."""
    lock = root / _LOCK
    return lock.read_bytes() if lock.is_file() else None


def require_genuine(reports: Mapping[str, bytes], lock: bytes | None, whose: str = "") -> dict[str, Any]:
    """Refuse reports that their stages did not write; return that of `evaluate`, which is among them.

    Parameters
    ----------
    reports, lock, whose
        As `require_recorded` takes them.

    Raises
    ------
    ReportAltered
        dvc.lock recorded something else, or a verdict does not follow from its figure.
    """
    require_recorded(reports, EVALUATION, lock, whose)
    origin = f"{EVALUATION}{whose}"
    try:
        evaluation: dict[str, Any] = json.loads(reports[EVALUATION])
    except ValueError:
        raise ReportAltered(f"{origin} is no JSON. `lockstep run` writes it anew.") from None
    require_consistent(evaluation, origin)
    return evaluation
