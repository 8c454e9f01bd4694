"""`train`, killed in the middle through either door, goes on from its checkpoint with the next run."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import arguments, copy_project, outputs, set_up_keys, shrink, stages
from tests.flows.conftest import wait_for

DOORS = {"flow": ("-m", "flows.cli", "run", "train"), "repro": ("-m", "dvc", "repro", "train")}


def start(project: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PREFECT_HOME": str(project / ".lockstep" / "prefect")}
    environment.pop("PREFECT_API_URL", None)
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project in which `train` is what comes next."""
    project = copy_project(tmp_path_factory.mktemp("prepared") / "project")
    shrink(project)
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["train"].update(epochs=12, patience=12)
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    set_up_keys(project)
    repro = start(project, "-m", "dvc", "repro", "resample")
    assert repro.wait() == 0, repro.communicate()[0]
    repro.communicate()
    return project


@pytest.mark.faults
@pytest.mark.parametrize("door", DOORS)
def test_the_next_run_goes_on_and_ends_in_the_same_bytes(
    door: str, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, undisturbed = tmp_path / "project", tmp_path / "undisturbed"
    shutil.copytree(prepared, project)
    shutil.copytree(prepared, undisturbed)
    folder = project / ".lockstep" / "checkpoints" / "train"

    killed = start(project, *DOORS[door])
    wait_for(lambda: list(folder.glob("*.sealed")), seconds=200)
    os.killpg(killed.pid, signal.SIGKILL)
    said, _ = killed.communicate()
    assert killed.returncode == -signal.SIGKILL, said

    again = start(project, *DOORS[door])
    said, _ = again.communicate()
    assert again.returncode == 0, said
    assert "training resumes after epoch" in said
    assert not folder.exists()
    with monkeypatch.context() as patch:
        patch.chdir(undisturbed)
        stage = stages(undisturbed)["train"]
        importlib.import_module(stage["cmd"].split()[2]).main(arguments(stage))
    for out in outputs(stage):
        assert (project / out).read_bytes() == (undisturbed / out).read_bytes(), out
    # It is recorded as if nothing had happened.
    status = start(project, "-m", "dvc", "status", "train")
    assert "up to date" in status.communicate()[0]
