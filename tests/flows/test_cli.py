"""The `lockstep` command: quick where nothing is to be done, clear where something is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.flows.conftest import GRAPH, ROOT, lockstep, repro, wait_for, write

LOADED = """
import atexit
import sys
from flows import cli
sys.argv = ["lockstep", *sys.argv[1:]]
heavy = {"prefect", "typer", "dvc", "tensorflow", "pandas"}
atexit.register(lambda: print("loaded", sorted(heavy & set(sys.modules))))
cli.main()
"""


def loaded(root: Path, *arguments: str) -> list[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments], cwd=root, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def root(repository: Any) -> Path:
    made: Path = repository(**{"source.txt": "a\n", "dvc.yaml": GRAPH})
    return made


def test_nothing_to_do_is_said_without_prefect_and_typer(root: Path) -> None:
    assert repro(root).returncode == 0
    expected = ["Nothing to do: all 2 stages are up to date.", "loaded ['dvc']"]
    assert loaded(root, "run") == expected
    assert loaded(root, "run", "one")[0] == "Nothing to do: all 1 stages are up to date."


def test_help_names_every_verb_and_loads_none(root: Path) -> None:
    from flows.cli import VERBS

    lines = loaded(root, "--help")
    assert lines[-1] == "loaded ['typer']"
    for verb in VERBS:
        assert any(f" {verb} " in line for line in lines), verb


def test_status_says_why_and_needs_no_lock(root: Path) -> None:
    assert lockstep(root, "status").stdout.splitlines() == ["one: has not run yet", "two: has not run yet"]
    assert repro(root).returncode == 0
    assert lockstep(root, "status").stdout == "All 2 stages are up to date.\n"
    write(root, {"source.txt": "b\n"})
    from dvc.lock import make_lock

    with make_lock(str(root / ".dvc" / "tmp" / "lock")):
        status = lockstep(root, "status")
    assert status.stdout.splitlines() == ["one: source.txt changed", "two: may run after one"]
    (root / "two.txt").unlink()
    assert "two: two.txt deleted" in lockstep(root, "status").stdout


def test_a_run_from_the_command_line(root: Path, server: str) -> None:
    done = lockstep(root, "run")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"Prefect server: {server.removesuffix('/api')}"
    assert lines[-1] == "2 of 2 stages ran."
    assert done.stderr == ""


def test_a_failed_run_ends_in_one_line(root: Path, server: str) -> None:
    write(root, {"dvc.yaml": GRAPH.replace("cp one.txt two.txt", "exit 1")})
    done = lockstep(root, "run")
    assert done.returncode == 1
    assert done.stderr == "error: stage two failed: The command `exit 1` ended with exit code 1.\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run"], 2, "has no dvc.yaml"),
        (["status"], 2, "has no dvc.yaml"),
        (["up"], 2, "has no dvc.yaml"),
    ],
)
def test_outside_of_a_project(tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    done = lockstep(tmp_path, *arguments)
    assert done.returncode == code
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_another_python_in_path_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    done = lockstep(root, "run")
    assert done.returncode == 2
    assert ". .venv/bin/activate" in done.stderr


def test_no_dvc_repository(tmp_path: Path) -> None:
    write(tmp_path, {"dvc.yaml": GRAPH})
    done = lockstep(tmp_path, "run")
    assert (done.returncode, "dvc init" in done.stderr) == (2, True)


def test_up_serves_the_flow_and_runs_use_its_server(
    server: str, project_of_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL")
    address = server.removesuffix("/api")
    assert lockstep(project_of_up, "up").stdout == f"`lockstep up` runs already: {address}\n"
    deployment = httpx.get(f"{server}/deployments/name/lifecycle/nightly").json()
    assert deployment["schedules"][0]["schedule"]["cron"] == "0 2 * * *"
    assert deployment["global_concurrency_limit"]["limit"] == 1
    # Other tests run its pipeline too.
    write(project_of_up, {"source.txt": "by the worker\n"})
    run = httpx.post(f"{server}/deployments/{deployment['id']}/create_flow_run", json={}).json()

    def ended() -> Any:
        state = httpx.get(f"{server}/flow_runs/{run['id']}").json()["state"]
        return state if state["type"] not in ("SCHEDULED", "PENDING", "RUNNING") else None

    state = wait_for(ended, seconds=60)
    assert (state["name"], state["message"]) == ("Completed", "2 of 2 stages ran.")
    write(project_of_up, {"source.txt": "b\n"})
    done = lockstep(project_of_up, "run")
    assert done.stdout.startswith(f"Prefect server: {address}\n")


def test_missing_data_is_no_reason_where_it_may_be_missing(root: Path) -> None:
    """A clone of a team's project, without the source table, after `dvc pull`."""
    assert repro(root).returncode == 0
    (root / "source.txt").unlink()
    assert lockstep(root, "status").stdout.startswith("one: source.txt deleted\n")
    assert loaded(root, "run", "--allow-missing")[0] == "Nothing to do: all 2 stages are up to date."
    (root / "one.txt").unlink()
    expected = ["Nothing to do: all 2 stages are up to date.", "loaded ['dvc']"]
    assert loaded(root, "run", "--allow-missing") == expected
    assert lockstep(root, "status", "--allow-missing").stdout == "All 2 stages are up to date.\n"
    write(root, {"two.txt": "altered\n"})
    assert lockstep(root, "status", "--allow-missing").stdout == "two: two.txt changed\n"


def test_output_that_finds_no_room_is_a_failure() -> None:
    program = "from flows import cli; print('a figure'); cli._leave(0)"
    # Kept back until the end, as Python does unless told otherwise.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
