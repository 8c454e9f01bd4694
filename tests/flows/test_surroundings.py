"""Others work in the same directory, or go away during a run."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.flows.conftest import WAITING, repro, start_lockstep, wait_for


@pytest.fixture
def root(repository: Any) -> Path:
    made: Path = repository(**{"source.txt": "a\n", "dvc.yaml": WAITING})
    return made


def recorded(root: Path) -> set[str]:
    return set(yaml.safe_load((root / "dvc.lock").read_text())["stages"])


def test_dvc_repro_beside_the_flow_is_refused(root: Path, server: str) -> None:
    run = start_lockstep(root, "run")
    wait_for((root / "started").exists)
    beside = repro(root, quiet=False)
    assert beside.returncode != 0
    assert "busy" in beside.stderr
    (root / "go").touch()
    _, stderr = run.communicate(timeout=30)
    assert (run.returncode, stderr) == (0, "")
    assert recorded(root) == {"first", "second"}


def test_the_flow_beside_dvc_repro_is_refused(root: Path, flow: Any) -> None:
    beside = subprocess.Popen([sys.executable, "-m", "dvc", "repro", "-q"], cwd=root)
    wait_for((root / "started").exists)
    state = flow(root)
    assert state.is_failed()
    assert "busy" in state.message
    (root / "go").touch()
    assert beside.wait(timeout=30) == 0
    assert recorded(root) == {"first", "second"}
    assert flow(root).message == "0 of 2 stages ran."


class Proxy:
    """A way to a server that can be cut."""

    def __init__(self, address: str) -> None:
        self._target = urlsplit(address)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._listener]
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}/api"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                inner, _ = self._listener.accept()
                outer = socket.create_connection((self._target.hostname, self._target.port))
                self._open += [inner, outer]
                for source, sink in ((inner, outer), (outer, inner)):
                    threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@pytest.mark.faults
def test_the_server_goes_away(root: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Proxy(server)
    monkeypatch.setenv("PREFECT_API_URL", proxy.address)
    monkeypatch.setenv("PREFECT_CLIENT_MAX_RETRIES", "1")
    run = start_lockstep(root, "run")
    wait_for((root / "started").exists)
    proxy.cut()
    (root / "go").touch()
    _, stderr = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "error: The Prefect server cannot be reached any more" in stderr
    assert "Traceback" not in stderr
    assert recorded(root) == {"first", "second"}
