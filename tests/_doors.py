"""The small copy of the default pipeline, run through one door or the other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from tests.conftest import ROOT, copy_project, outputs, set_up_keys, shrink, stages

AUDIT = ROOT / "tests" / "contracts" / "audit"
#: What DVC, Prefect and Git keep, which no stage reads.
KEPT_ASIDE = shutil.ignore_patterns(".git", "cache", "tmp", "remote", "prefect", "dvc.lock", "__pycache__")
NOTHING: Mapping[str, Any] = MappingProxyType({})


def call(
    project: Path, *command: str, home: Path | None = None, beside: Mapping[str, str] = NOTHING
) -> subprocess.CompletedProcess[str]:
    """Call a command in a project, with the variables `beside` in its environment."""
    environment = {
        **os.environ,
        "PREFECT_HOME": str(home or project / ".lockstep" / "prefect"),
        **beside,
    }
    environment.pop("PREFECT_API_URL", None)
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


def dvc(project: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return call(project, str(Path(sys.executable).parent / "dvc"), *arguments, beside=environment)


def lockstep(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return call(project, sys.executable, "-m", "flows.cli", *arguments)


Changes = Mapping[str, Mapping[str, Any]]
"""Values of parameters by section and name."""


def _begin(prefect_home: Callable[[Path], Path], directory: Path, changes: Changes) -> Path:
    project = copy_project(directory / "project")
    prefect_home(project / ".lockstep" / "prefect")
    shrink(project)
    params = yaml.safe_load((project / "params.yaml").read_text())
    for section, values in changes.items():
        params[section].update(values)
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    set_up_keys(project)
    return project


def run_by_flow(prefect_home: Callable[[Path], Path], directory: Path, changes: Changes = NOTHING) -> None:
    """Make `directory`/project and call `lockstep run` in it."""
    finished = lockstep(_begin(prefect_home, directory, changes), "run")
    assert finished.returncode == 0, finished.stderr


def run_by_repro(prefect_home: Callable[[Path], Path], directory: Path, changes: Changes = NOTHING) -> None:
    """Make `directory`/project and call `dvc repro` in it, with another hash seed and every stage under audit.

    Their notes go to `directory`/notes, the paths that were there before into before.json, and what the stages made
    is copied to `directory`/small/project, without DVC's cache and lock.
    """
    project = _begin(prefect_home, directory, changes)
    (directory / "before.json").write_text(json.dumps(files(project)))
    notes = directory / "notes"
    notes.mkdir()
    finished = dvc(
        project, "repro", PYTHONPATH=str(AUDIT), PYTHONHASHSEED="1", LOCKSTEP_TEST_NOTES=str(notes)
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    small = directory / "small" / "project"
    shutil.copytree(project, small, ignore=KEPT_ASIDE)
    subprocess.run(["git", "init", "-q", str(small)], check=True)


def require_the_same(flow: Path, repro: Path) -> None:
    """Both wrote one lock and the same bytes."""
    assert (flow / "dvc.lock").read_bytes() == (repro / "dvc.lock").read_bytes()
    for stage in stages(flow).values():
        for out in outputs(stage):
            assert (flow / out).read_bytes() == (repro / out).read_bytes(), out


def require_nothing_left(flow: Path) -> None:
    """After a run of the flow neither door has anything to do."""
    before = (flow / "dvc.lock").read_bytes()
    assert "up to date" in dvc(flow, "status").stdout
    again = dvc(flow, "repro")
    assert again.returncode == 0
    assert "Running stage" not in again.stdout
    by_flow = lockstep(flow, "run")
    assert by_flow.returncode == 0
    assert "Nothing to do" in by_flow.stdout
    assert (flow / "dvc.lock").read_bytes() == before


def files(root: Path) -> list[str]:
    """Paths of the files in `root`, without what Git, DVC and Python keep for themselves."""
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return sorted(str(path) for path in found if not {".git", ".dvc", "__pycache__"} & set(path.parts))
