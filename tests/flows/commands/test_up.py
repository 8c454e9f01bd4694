"""`lockstep up`: who may reach its server, which database it uses, and that its schedule fires."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows import _server
from flows.commands.up import _check_host, _listening_port
from lockstep.errors import UsageError
from tests.flows.conftest import GRAPH, free_port, lockstep, start_lockstep, wait_for

CREDENTIALS = "team:a long password"
POSTGRES = max(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), default=None)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of Prefect's is configured."""
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))


@pytest.fixture
def project(repository: Callable[..., Path]) -> Path:
    return repository(**{"source.txt": "a\n", "dvc.yaml": GRAPH})


@contextmanager
def running(root: Path, *arguments: str) -> Iterator[str]:
    """Address of the API of a `lockstep up`, which ends cleanly afterwards."""
    port = free_port()
    up = start_lockstep(root, "up", "--port", str(port), *arguments)
    address = f"http://127.0.0.1:{port}/api"
    try:
        assert up.stdout
        for line in up.stdout:
            if line == "Ctrl-C ends both.\n":
                break
        else:
            raise AssertionError(up.communicate()[1])
        yield address
    finally:
        up.send_signal(signal.SIGINT)
        _, errors = up.communicate(timeout=60)
    assert (up.returncode, errors) == (0, "")
    assert not _server.answers(address)


def ended_runs(address: str) -> list[dict[str, Any]]:
    """Flow runs that ended."""
    runs = httpx.post(f"{address}/flow_runs/filter", json={}).json()
    return [run for run in runs if run["state"]["type"] not in ("SCHEDULED", "PENDING", "RUNNING")]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "no such host"])
def test_other_machines_need_a_password(project: Path, alone: None, host: str) -> None:
    with pytest.raises(UsageError, match=r"Set PREFECT_SERVER_API_AUTH_STRING to 'user:password'"):
        _check_host(host)


def test_loopback_needs_none(alone: None) -> None:
    _check_host("127.0.0.1")
    _check_host("localhost")


def test_a_taken_port_is_passed_over_and_an_address_of_another_machine_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert _listening_port("127.0.0.1", port) != port
    assert _listening_port("127.0.0.1", port) == port
    with pytest.raises(UsageError, match=r"Cannot listen on 192\.0\.2\.1: .*--host"):
        _listening_port("192.0.2.1", port)


def test_up_for_other_machines_is_refused_without_a_password(project: Path, alone: None) -> None:
    refused = lockstep(project, "up", "--host", "0.0.0.0")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "PREFECT_SERVER_API_AUTH_STRING" in refused.stderr


@pytest.mark.slow
def test_up_for_other_machines(project: Path, alone: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", CREDENTIALS)
    with running(project, "--host", "0.0.0.0") as address:
        assert httpx.get(f"{address}/admin/version").status_code == 401
        # The browser of another machine reaches the API where it found the UI.
        assert httpx.get(f"{address.removesuffix('/api')}/ui-settings").json()["api_url"] == "/api"
        done = lockstep(project, "run")
        assert done.stdout.splitlines()[-1] == "2 of 2 stages ran.", done.stderr
        # Another shell knows of the server, but not of its password.
        monkeypatch.delenv("PREFECT_SERVER_API_AUTH_STRING")
        (project / "source.txt").write_text("b\n")
        stranger = lockstep(project, "run")
        assert (stranger.returncode, "Set PREFECT_API_AUTH_STRING" in stranger.stderr) == (2, True)
        monkeypatch.setenv("PREFECT_API_AUTH_STRING", CREDENTIALS)
        assert lockstep(project, "run").stdout.splitlines()[-1] == "2 of 2 stages ran."
    for path in (project / ".lockstep").rglob("*"):
        assert not path.is_file() or CREDENTIALS.encode() not in path.read_bytes(), path


@pytest.mark.slow
def test_the_schedule_of_up_fires(project: Path, alone: None) -> None:
    with running(project, "--schedule", "* * * * *") as address:
        run = wait_for(lambda: ended_runs(address), seconds=180)[0]
        assert run["auto_scheduled"]
        assert run["state"]["message"] == "2 of 2 stages ran."
    assert (project / "two.txt").read_text() == "a\n"


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[str]:
    """Address of the database of a new PostgreSQL cluster on loopback."""
    if POSTGRES is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    home, port = tmp_path / "cluster", free_port()
    home.mkdir()
    # PostgreSQL refuses to run as root.
    account = ("runuser", "-u", "postgres", "--") if os.geteuid() == 0 else ()
    if account:
        # Up to the system's own directory of temporary files: a worker of pytest-xdist has one more of its own.
        shared = Path(tempfile.gettempdir())
        for directory in (home, tmp_path, *takewhile(lambda parent: parent != shared, tmp_path.parents)):
            directory.chmod(0o755)
        shutil.chown(home, "postgres")

    def call(program: str, *arguments: str) -> None:
        subprocess.run(
            [*account, str(POSTGRES.with_name(program)), *arguments],
            cwd=home,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    data = str(home / "data")
    call("initdb", "-D", data, "-A", "trust", "-U", "prefect", "--no-sync")
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories='' -c fsync=off"
    call("pg_ctl", "-D", data, "-w", "-o", options, "-l", str(home / "log"), "start")
    try:
        call("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "prefect", "prefect")
        yield f"postgresql+asyncpg://prefect@127.0.0.1:{port}/prefect"
    finally:
        call("pg_ctl", "-D", data, "-m", "immediate", "stop")


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting", ["PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL"]
)
def test_postgresql(
    project: Path, alone: None, postgres: str, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(setting, postgres)
    with running(project) as address:
        assert lockstep(project, "run").stdout.splitlines()[-1] == "2 of 2 stages ran."
        run = wait_for(lambda: ended_runs(address), seconds=30)[0]
        assert run["state"]["message"] == "2 of 2 stages ran."
    assert not (project / ".lockstep" / "prefect.db").exists()
