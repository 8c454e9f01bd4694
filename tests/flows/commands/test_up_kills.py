"""A kill of `lockstep up` or of its server: nothing is left behind, nothing torn, and the next ones go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from tests.flows.conftest import WAITING, free_port, lockstep, start_lockstep, wait_for

from .test_up import alone, ended_runs

__all__ = ["alone"]

pytestmark = pytest.mark.faults


@pytest.fixture
def project(repository: Callable[..., Path]) -> Path:
    return repository(**{"source.txt": "a\n", "dvc.yaml": WAITING})


@pytest.fixture
def up(project: Path, alone: None) -> Iterator[Callable[[], tuple[Any, str]]]:
    """Return a function that starts a `lockstep up`, and gives its process and the address of its API."""
    started = []

    def start() -> tuple[Any, str]:
        port = free_port()
        process = start_lockstep(project, "up", "--port", str(port))
        started.append(process)
        assert process.stdout
        for line in process.stdout:
            if line == "Ctrl-C ends both.\n":
                break
        return process, f"http://127.0.0.1:{port}/api"

    yield start
    for process in started:
        process.kill()
        process.communicate()


def start_run(address: str) -> str:
    deployment = httpx.get(f"{address}/deployments/name/lifecycle/nightly").json()
    run = httpx.post(f"{address}/deployments/{deployment['id']}/create_flow_run", json={}).json()
    return str(run["id"])


def state_of(address: str, run: str) -> dict[str, Any]:
    state: dict[str, Any] = httpx.get(f"{address}/flow_runs/{run}").json()["state"]
    return state


def recorded(root: Path) -> set[str]:
    return set(yaml.safe_load((root / "dvc.lock").read_text())["stages"])


def test_a_kill_of_up(project: Path, up: Any) -> None:
    process, address = up()
    run = start_run(address)
    wait_for((project / "started").exists)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) > 3
    process.kill()
    _, alive = psutil.wait_procs(family, timeout=15)
    assert alive == []
    assert recorded(project) == {"first"}
    assert not (project / "second.txt").exists()

    (project / "go").touch()
    _, address = up()
    # The run that was killed must not keep the deployment's only slot.
    again = start_run(address)
    state = wait_for(lambda: [found for found in ended_runs(address) if found["id"] == again], seconds=120)
    assert state[0]["state"]["message"] == "1 of 2 stages ran."
    killed = state_of(address, run)
    assert (killed["name"], killed["message"]) == ("Crashed", "Its process was killed.")
    assert recorded(project) == {"first", "second"}


def test_a_kill_of_the_server_alone(project: Path, up: Any) -> None:
    process, _ = up()
    beside = start_lockstep(project, "run")
    wait_for((project / "started").exists)
    server = next(
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if child.cmdline()[1:3] == ["-m", "prefect"]
    )
    server.kill()
    (project / "go").touch()
    _, errors = beside.communicate(timeout=120)
    assert (beside.returncode, "Traceback" in errors) == (1, False)
    assert "The Prefect server cannot be reached any more" in errors
    assert recorded(project) == {"first", "second"}
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in errors) == (1, False)
    assert "The Prefect server was ended by SIGKILL" in errors
    assert lockstep(project, "run").stdout == "Nothing to do: all 2 stages are up to date.\n"
