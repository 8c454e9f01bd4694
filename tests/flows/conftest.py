"""A real Prefect server on a loopback port, and small DVC repositories."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows import _server

ROOT = Path(__file__).resolve().parents[2]
LOCKSTEP = (sys.executable, "-m", "flows.cli")
GRAPH = """
stages:
  one:
    cmd: cp source.txt one.txt
    deps: [source.txt]
    outs: [one.txt]
  two:
    cmd: cp one.txt two.txt
    deps: [one.txt]
    outs: [two.txt]
"""
#: Its second stage waits for the file `go`.
WAITING = """
stages:
  first:
    cmd: cp source.txt first.txt
    deps: [source.txt]
    outs: [first.txt]
  second:
    cmd: touch started; while ! test -e go; do sleep 0.1; done; cp first.txt second.txt
    deps: [first.txt]
    outs: [second.txt]
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def empty_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dvc.repo import Repo

    root = tmp_path_factory.mktemp("empty")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    with Repo.init(str(root)):
        pass
    (root / ".dvcignore").write_text("__pycache__\n")
    (root / ".gitignore").write_text("/.lockstep/\n__pycache__\n")
    (root / "tasks").mkdir()
    (root / "tasks" / "__init__.py").touch()
    shutil.copy(ROOT / "tasks" / "_stage.py", root / "tasks" / "_stage.py")
    return root


@pytest.fixture(scope="session")
def project_of_up(empty_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("up") / "project"
    shutil.copytree(empty_repository, root)
    write(root, {"source.txt": "a\n", "dvc.yaml": GRAPH})
    return root


@pytest.fixture(scope="session")
def server(
    project_of_up: Path, tmp_path_factory: pytest.TempPathFactory, prefect_home: Callable[[Path], Path]
) -> Iterator[str]:
    """Address of the server of a `lockstep up`; this process and its children use it."""
    patch = pytest.MonkeyPatch()
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        patch.delenv(name)
    patch.setenv("PREFECT_HOME", str(prefect_home(tmp_path_factory.mktemp("prefect"))))
    port = free_port()
    up = start_lockstep(project_of_up, "up", "--port", str(port))
    assert up.stdout
    lines = []
    while "Ctrl-C ends both.\n" not in lines:
        lines.append(up.stdout.readline())
        assert lines[-1], up.communicate()
    address = f"http://127.0.0.1:{port}/api"
    assert f"Prefect UI: {address.removesuffix('/api')}\n" in lines
    patch.setenv("PREFECT_API_URL", address)
    patch.setenv("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    if "prefect" in sys.modules:
        # It took its settings as it was imported.
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()
    yield address
    if "prefect" in sys.modules:
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogWorker

        APILogWorker.drain_all(timeout=5)
        EventsWorker.drain_all(timeout=5)
    patch.undo()
    up.send_signal(signal.SIGINT)
    _, stderr = up.communicate(timeout=30)
    assert (up.returncode, "Traceback" in stderr) == (0, False), stderr
    assert not _server.answers(address)


@pytest.fixture
def repository(empty_repository: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes a repository of the given files, by path."""

    def make(name: str = "repository", **files: str) -> Path:
        root = tmp_path / name
        shutil.copytree(empty_repository, root)
        write(root, files)
        return root

    return make


def write(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


@pytest.fixture
def flow(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Return a function that runs the flow in a directory, in this process, and returns its state."""
    from flows.lifecycle import lifecycle

    def run(
        root: Path, stages: list[str] | None = None, force: bool = False, jobs: int = 1, **parameters: Any
    ) -> Any:
        async def go() -> Any:
            return await lifecycle(stages or [], force, jobs, **parameters, return_state=True)

        with monkeypatch.context() as patch:
            patch.chdir(root)
            return asyncio.run(go())

    yield run
    gc.collect()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "flow" in getattr(item, "fixturenames", ()):
            # Prefect leaves the socket of a flow run's heartbeat open until it is collected.
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning"))


def task_runs(server: str, state: Any) -> dict[str, tuple[str, str | None]]:
    """Name and message of the state of each task run of a flow run."""
    return {run["name"]: (run["state"]["name"], run["state"]["message"]) for run in _task_runs(server, state)}


def _task_runs(server: str, state: Any) -> list[dict[str, Any]]:
    run_id = str(state.state_details.flow_run_id)
    body = {"flow_runs": {"id": {"any_": [run_id]}}, "sort": "EXPECTED_START_TIME_ASC"}
    # Task runs reach the server's database by way of its event queue.
    for _ in range(100):
        runs = httpx.post(f"{server}/task_runs/filter", json=body).json()
        if runs and all(run["state"] and run["state"]["type"] not in ("PENDING", "RUNNING") for run in runs):
            return runs
        time.sleep(0.1)
    return runs


def latest_run(server: str) -> dict[str, Any]:
    """The flow run that started last."""
    body = {"flow_runs": {"start_time": {"is_null_": False}}, "sort": "START_TIME_DESC", "limit": 1}
    run: dict[str, Any] = httpx.post(f"{server}/flow_runs/filter", json=body).json()[0]
    return run


def lockstep(root: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the `lockstep` command in a directory."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*LOCKSTEP, *arguments],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


def start_lockstep(root: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the `lockstep` command in a directory."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [*LOCKSTEP, *arguments],
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def repro(root: Path, *arguments: str, quiet: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `dvc repro` in a directory; when quiet, DVC says nothing of an error either."""
    if quiet:
        arguments = ("-q", *arguments)
    return subprocess.run(
        [sys.executable, "-m", "dvc", "repro", *arguments],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
    )


def wait_for(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait until `condition` gives something, and return it."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)
    return value


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
