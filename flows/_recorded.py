"""A report counts if its stage wrote it: dvc.lock knows its bytes, and its verdicts follow from its figures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lockstep.errors import LockstepError, ReportAltered, UsageError
from lockstep.evaluation.gates import require_consistent
from tasks._stage import read_report

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
    report = read_report(path)
    require_genuine({EVALUATION: path.read_bytes()}, lock_of(root))
    return report


def lock_of(root: Path) -> bytes | None:
    """Content of dvc.lock; None where there is none."""
    lock = root / _LOCK
    return lock.read_bytes() if lock.is_file() else None


def require_genuine(reports: Mapping[str, bytes], lock: bytes | None, whose: str = "") -> None:
    """Refuse reports that are not what their stages wrote.

    Parameters
    ----------
    reports
        Contents by path, that of `evaluate` among them.
    lock
        Content of dvc.lock; None where there is nothing to compare with.
    whose
        To be put behind the name of a file, where it is not one of the workspace.

    Raises
    ------
    ReportAltered
        dvc.lock recorded other bytes, no evaluation at all, or a verdict does not follow from its figure.
    """
    if lock is not None:
        recorded = _recorded(lock, f"{_LOCK}{whose}")
        for path, content in reports.items():
            known, found = recorded.get(path), hashlib.md5(content, usedforsecurity=False).hexdigest()
            if found != known and (known or path == EVALUATION):
                raise ReportAltered(
                    f"{path}{whose} is not what its stage wrote: its md5 is {found}, and dvc.lock has "
                    f"{known or 'none of it'}. `lockstep run` writes it anew."
                )
    try:
        evaluation = json.loads(reports[EVALUATION])
    except ValueError:
        raise ReportAltered(f"{EVALUATION}{whose} is no JSON. `lockstep run` writes it anew.") from None
    require_consistent(evaluation, f"{EVALUATION}{whose}")


def _recorded(lock: bytes, origin: str) -> dict[str, str]:
    """Digests of what the stages made, by path."""
    try:
        return {
            out["path"]: out.get("md5", "")
            for name, stage in yaml.safe_load(lock)["stages"].items()
            # `lockstep deploy` writes its report, and DVC records none of it.
            if name != "deploy"
            for out in stage.get("outs", ())
        }
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        raise LockstepError(f"{origin} cannot be read. Restore it from Git, or run `dvc repro`.") from None
