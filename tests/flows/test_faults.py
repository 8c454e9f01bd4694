"""What goes wrong is said once and clearly, nothing false is recorded, and nothing goes on behind one's back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from flows._locks import RUN, only_one
from tests.flows.conftest import is_alive, latest_run, repro, start_lockstep, task_runs, wait_for, write

CHAIN = """
stages:
  first:
    cmd: cp source.txt first.txt
    deps: [source.txt]
    outs: [first.txt]
  second:
    cmd: "{cmd}"
    deps: [first.txt]
    outs: [second.txt]
  third:
    cmd: cp second.txt third.txt
    deps: [second.txt]
    outs: [third.txt]
"""
WAITING = "sleep 60 & echo $! > child; echo $$ > pid; wait; touch second.txt"


def chain(repository: Any, cmd: str) -> Path:
    return repository(**{"source.txt": "a\n", "dvc.yaml": CHAIN.format(cmd=cmd)})


def recorded(root: Path) -> set[str]:
    lock = root / "dvc.lock"
    return set(yaml.safe_load(lock.read_text())["stages"]) if lock.exists() else set()


def started(root: Path) -> list[int]:
    wait_for(lambda: (root / "pid").exists() and (root / "pid").read_text())
    return [int((root / name).read_text()) for name in ("pid", "child")]


def test_a_failed_stage(repository: Any, flow: Any, server: str) -> None:
    root = chain(repository, "exit 7")
    state = flow(root)
    message = "The command `exit 7` ended with exit code 7."
    assert state.is_failed()
    assert state.message == f"stage second failed: {message}"
    assert task_runs(server, state) == {"first": ("Completed", "It ran."), "second": ("Failed", message)}
    assert recorded(root) == {"first"}
    write(root, {"dvc.yaml": CHAIN.format(cmd="cp first.txt second.txt")})
    assert flow(root).is_completed()
    assert repro(root, "--dry").returncode == 0


def test_an_exception_reaches_prefect_without_its_text(
    repository: Any, flow: Any, server: str, project_of_up: Path
) -> None:
    root = chain(repository, "python -m tasks.secret")
    write(root, {"tasks/secret.py": "def main(argv=None):\n    raise ValueError('canary' + '4711')\n"})
    state = flow(root)
    task_runs(server, state)
    assert state.message
    assert "Unexpected ValueError at secret.py:2" in state.message
    time.sleep(1)
    stored = [path for path in (project_of_up / ".lockstep").rglob("prefect*") if path.is_file()]
    assert any(b"Unexpected ValueError at secret.py" in path.read_bytes() for path in stored)
    assert not any(b"canary4711" in path.read_bytes() for path in stored)


@pytest.mark.parametrize(
    ("cmd", "name"),
    [
        ("cp first.txt second.txt && echo b >> first.txt", "first.txt"),
        ("cp first.txt second.txt && rm first.txt", "first.txt"),
        ("cp first.txt second.txt && echo 'a: 2' > params.yaml", "params.yaml"),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_a_dependency_that_changes_under_a_stage(
    repository: Any, flow: Any, cmd: str, name: str, force: bool
) -> None:
    root = chain(repository, cmd)
    graph = yaml.safe_load((root / "dvc.yaml").read_text())
    graph["stages"]["second"]["params"] = ["a"]
    write(root, {"params.yaml": "a: 1\n", "dvc.yaml": yaml.safe_dump(graph, sort_keys=False)})
    state = flow(root, ["second"], force=force)
    assert state.is_failed()
    assert "stage second failed" in state.message
    assert name in state.message
    assert recorded(root) == {"first"}


def test_a_missing_dependency_and_an_unknown_stage(repository: Any, flow: Any) -> None:
    root = chain(repository, "cp first.txt second.txt")
    (root / "source.txt").unlink()
    assert "source.txt" in flow(root).message
    assert "no-such-stage" in flow(root, ["no-such-stage"]).message
    assert recorded(root) == set()


def test_a_second_run_is_refused(repository: Any, flow: Any) -> None:
    root = chain(repository, "cp first.txt second.txt")
    with only_one(root / RUN, "{owner}"):
        assert f"Another run (process {os.getpid()})" in flow(root).message
    assert flow(root).is_completed()


def test_interrupting_stops_the_stage_and_marks_the_run(repository: Any, server: str) -> None:
    root = chain(repository, WAITING)
    run = start_lockstep(root, "run")
    pids = started(root)
    began = time.monotonic()
    run.send_signal(signal.SIGINT)
    _, stderr = run.communicate(timeout=20)
    assert time.monotonic() - began < 5
    assert run.returncode == 130
    assert stderr.startswith("error: Stopped.")
    assert "Traceback" not in stderr
    assert not any(map(is_alive, pids))
    assert recorded(root) == {"first"}
    latest = latest_run(server)
    assert latest["state"]["name"] == "Cancelled"


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.faults), signal.SIGTERM])
def test_a_run_that_is_stopped_while_it_plans_is_cancelled_too(
    repository: Any, server: str, number: signal.Signals
) -> None:
    root = chain(repository, WAITING)
    run = start_lockstep(root, "run")
    # It holds the lock, and looks what is to be done.
    wait_for(lambda: (root / RUN).exists() and " " in (root / RUN).read_text().strip())
    run.send_signal(number)
    _, stderr = run.communicate(timeout=20)
    assert (run.returncode, stderr[:15]) == (130, "error: Stopped.")
    assert latest_run(server)["state"]["name"] == "Cancelled"


def test_cancelling_in_the_ui_stops_a_run_from_the_command_line(repository: Any, server: str) -> None:
    root = chain(repository, WAITING)
    run = start_lockstep(root, "run")
    pids = started(root)
    latest = latest_run(server)
    began = time.monotonic()
    body = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    httpx.post(f"{server}/flow_runs/{latest['id']}/set_state", json=body).raise_for_status()
    wait_for(lambda: not any(map(is_alive, pids)), seconds=10)
    assert time.monotonic() - began < 5
    _, stderr = run.communicate(timeout=20)
    assert (run.returncode, "Traceback" in stderr) == (130, False)
    assert httpx.get(f"{server}/flow_runs/{latest['id']}").json()["state"]["name"] == "Cancelled"


@pytest.mark.faults
def test_a_worker_that_sends_a_signal_too_does_not_interrupt_the_stopping(
    repository: Any, server: str
) -> None:
    root = chain(repository, "trap 'touch stopping' INT; touch pid; while :; do sleep 0.1; done")
    run = start_lockstep(root, "run")
    wait_for((root / "pid").exists)
    latest = latest_run(server)
    body = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    httpx.post(f"{server}/flow_runs/{latest['id']}/set_state", json=body).raise_for_status()
    wait_for((root / "stopping").exists)
    run.terminate()
    _, stderr = run.communicate(timeout=20)
    assert (run.returncode, stderr[:15]) == (130, "error: Stopped.")
    state = httpx.get(f"{server}/flow_runs/{latest['id']}").json()["state"]
    assert (state["name"], state["message"][:8]) == ("Cancelled", "Stopped.")
    assert recorded(root) == {"first"}


@pytest.mark.faults
def test_a_retry_in_the_ui_goes_on_where_the_run_failed(project_of_up: Path, server: str) -> None:
    """As its Retry does: the run waits anew for its worker, here that of `lockstep up`."""
    before = (project_of_up / "dvc.yaml").read_text()
    deployment = httpx.get(f"{server}/deployments/name/lifecycle/nightly").json()["id"]
    write(project_of_up, {"source.txt": "c\n", "dvc.yaml": before.replace("cp one.txt two.txt", "exit 7")})
    run = httpx.post(f"{server}/deployments/{deployment}/create_flow_run", json={}).json()["id"]

    def ended() -> dict[str, Any] | None:
        state = httpx.get(f"{server}/flow_runs/{run}").json()["state"]
        return state if state["type"] in ("COMPLETED", "FAILED", "CRASHED") else None

    state = wait_for(ended)
    assert state["message"] == "stage two failed: The command `exit 7` ended with exit code 7."
    write(project_of_up, {"dvc.yaml": before})
    body = {"state": {"type": "SCHEDULED", "name": "AwaitingRetry"}, "force": True}
    httpx.post(f"{server}/flow_runs/{run}/set_state", json=body).raise_for_status()
    state = wait_for(ended)
    assert state["message"] == "1 of 2 stages ran."
    assert (project_of_up / "two.txt").read_text() == "c\n"


@pytest.mark.faults
def test_a_retry_of_a_killed_run_is_no_crashed_one(project_of_up: Path, server: str) -> None:
    """It has the id that the killed process left; a crashed run could not be cancelled."""
    before = (project_of_up / "dvc.yaml").read_text()
    started, go = project_of_up / "started", project_of_up / "go"
    waiting = "touch started; while ! test -e go; do sleep 0.1; done; cp one.txt two.txt"
    deployment = httpx.get(f"{server}/deployments/name/lifecycle/nightly").json()["id"]
    write(project_of_up, {"source.txt": "d\n", "dvc.yaml": before.replace("cp one.txt two.txt", waiting)})
    run = httpx.post(f"{server}/deployments/{deployment}/create_flow_run", json={}).json()["id"]

    def state() -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{server}/flow_runs/{run}").json()["state"]
        return found

    def kill() -> None:
        wait_for(started.exists)
        os.kill(int((project_of_up / RUN).read_text().split()[0]), signal.SIGKILL)
        wait_for(lambda: state()["type"] == "CRASHED")
        started.unlink()

    def put(**state: Any) -> None:
        body = {"state": state, "force": True}
        httpx.post(f"{server}/flow_runs/{run}/set_state", json=body).raise_for_status()

    kill()
    put(type="SCHEDULED", name="AwaitingRetry")
    wait_for(started.exists)
    assert state()["type"] == "RUNNING"
    kill()
    # Another run comes before the retry, finds what the killed one left, and leaves the retry alone.
    due = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    put(type="SCHEDULED", name="AwaitingRetry", state_details={"scheduled_time": due})
    go.touch()
    beside = start_lockstep(project_of_up, "run")
    _, errors = beside.communicate(timeout=60)
    assert beside.returncode == 0, errors
    assert state()["name"] == "AwaitingRetry"
    put(type="CANCELLED", name="Cancelled")
    started.unlink()
    go.unlink()
    write(project_of_up, {"dvc.yaml": before})


@pytest.mark.parametrize(
    "cmd",
    [pytest.param(WAITING, marks=pytest.mark.faults), "python -m tasks.waiting"],
    ids=["shell", "stage process"],
)
def test_a_killed_flow_leaves_no_orphan_and_the_next_run_goes_on(
    repository: Any, flow: Any, server: str, cmd: str
) -> None:
    root = chain(repository, cmd)
    waiting = (
        "import os, subprocess, time\n\n\ndef main(argv=None):\n"
        "    child = subprocess.Popen(['sleep', '60'])\n"
        "    open('child', 'w').write(str(child.pid))\n"
        "    open('pid', 'w').write(str(os.getpid()))\n"
        "    time.sleep(60)\n"
    )
    write(root, {"tasks/waiting.py": waiting})
    run = start_lockstep(root, "run")
    pids = started(root)
    run.kill()
    run.communicate()
    wait_for(lambda: not any(map(is_alive, pids)), seconds=5)
    assert recorded(root) == {"first"}
    killed = latest_run(server)
    write(root, {"dvc.yaml": CHAIN.format(cmd="cp first.txt second.txt")})
    states = task_runs(server, flow(root))
    state = httpx.get(f"{server}/flow_runs/{killed['id']}").json()["state"]
    assert (state["name"], state["message"]) == ("Crashed", "Its process was killed.")
    assert states["first"] == ("Cached", "unchanged")
    assert recorded(root) == {"first", "second", "third"}


def test_another_dvc_command_is_waited_for(repository: Any, flow: Any) -> None:
    from dvc.lock import make_lock

    root = chain(repository, "cp first.txt second.txt")
    lock = make_lock(str(root / ".dvc" / "tmp" / "lock"))
    lock.lock()
    threading.Timer(4, lock.unlock).start()
    assert flow(root, ["first"]).is_completed()


def test_a_lock_that_cannot_be_written_stays_whole(
    repository: Any, flow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = chain(repository, "cp first.txt second.txt")
    assert flow(root, ["first"]).is_completed()
    before = (root / "dvc.lock").read_bytes()
    import lockstep.files

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(lockstep.files.os, "fsync", full)
        state = flow(root)
    assert state.message == "stage second failed: No space left on device"
    assert (root / "dvc.lock").read_bytes() == before
    assert flow(root).is_completed()
    assert subprocess.run([sys.executable, "-m", "dvc", "status", "-q"], cwd=root).returncode == 0
