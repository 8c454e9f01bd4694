"""With which commit and libraries a stage ran, kept beside what a clock gave: no output may hold either.

A record counts only while the file lies there that the stage left with it. DVC may bring back what another run made,
from its cache or a remote, and of that run nothing is recorded here.
"""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

MEASURED = Path(".lockstep/measured")

_LIBRARIES = (
    "lockstep", "tensorflow-cpu", "keras", "ai-edge-litert", "numpy", "scikit-learn", "fairlearn", "great-expectations",
    "dp-accounting", "dvc", "prefect",
)  # fmt: skip
# What the stages before this one wrote is no change that somebody made.
_WRITTEN_BY_STAGES = (":(exclude)dvc.lock", ":(exclude)reports")


def provenance() -> dict[str, Any]:
    """Commit and libraries that are in use now; null what is unknown."""
    revision = git_revision()
    return {
        "git_revision": revision,
        "uncommitted_changes": None if revision is None else _has_changes(),
        "versions": _versions(),
    }


def digest_of(made: Path) -> dict[str, str]:
    """What tells later whether `made` still is what this run left."""
    return {"path": str(made), "sha256": hashlib.sha256(made.read_bytes()).hexdigest()}


def records(root: Path = Path()) -> dict[str, Any]:
    """What was measured and recorded as the outputs were made that lie in the workspace `root`, by stage."""
    found = {path.stem: json.loads(path.read_bytes()) for path in sorted((root / MEASURED).glob("*.json"))}
    return {
        stage: record
        for stage, record in found.items()
        if "made" not in record or _lies_there(root, record["made"])
    }


def figures_of(records: Mapping[str, Any]) -> dict[str, Any]:
    """What a clock or the host gave, by stage."""
    found = {
        stage: {name: value for name, value in record.items() if name not in ("run", "made")}
        for stage, record in records.items()
    }
    return {stage: figures for stage, figures in found.items() if figures}


def _lies_there(root: Path, made: Mapping[str, str]) -> bool:
    path = root / made["path"]
    return path.is_file() and digest_of(path)["sha256"] == made["sha256"]


def git_revision(directory: Path | None = None) -> str | None:
    """Commit of the workspace; None where Git knows of none."""
    found = _git("rev-parse", "--verify", "HEAD", directory=directory)
    return found.stdout.strip() if found and found.returncode == 0 else None


def _has_changes() -> bool | None:
    found = _git("--no-optional-locks", "diff", "--quiet", "HEAD", "--", ".", *_WRITTEN_BY_STAGES)
    return {0: False, 1: True}.get(found.returncode) if found else None


def _git(*arguments: str, directory: Path | None = None) -> subprocess.CompletedProcess[str] | None:
    """What the person's own git answers; None where there is none."""
    try:
        return subprocess.run(  # noqa: S603 - every word is written here
            ["git", *arguments],  # noqa: S607 - the person's own git
            cwd=directory,
            capture_output=True,
            check=False,
            text=True,
        )
    except OSError:
        return None


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
