"""A report counts if its stage wrote it: dvc.lock knows its bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import yaml

from lockstep.errors import LockstepError, ReportAltered


def require_recorded(
    reports: Mapping[str, bytes], evaluation: str, lock: bytes | None, whose: str = ""
) -> None:
    """Refuse reports that are not what dvc.lock recorded.

    Parameters
    ----------
    reports
        Contents by path, as dvc.yaml has it.
    evaluation
        The one of them that must be recorded: what others say may be no stage's.
    lock
        Content of dvc.lock; None where there is nothing to compare with.
    whose
        To be put behind the name of a file, where it is not one of the workspace.

    Raises
    ------
    ReportAltered
        dvc.lock recorded other bytes, or no evaluation at all.
    """
    if lock is None:
        return
    recorded = _recorded(lock, f"dvc.lock{whose}")
    for path, content in reports.items():
        known, found = recorded.get(path), hashlib.md5(content, usedforsecurity=False).hexdigest()
        if found != known and (known or path == evaluation):
            remedy = "Commit reports/ and dvc.lock of one run." if whose else "`lockstep run` writes it anew."
            raise ReportAltered(
                f"{path}{whose} is not what its stage wrote: its md5 is {found}, and dvc.lock has "
                f"{known or 'none of it'}. {remedy}"
            )


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
