"""The server as a process: it starts, says where it is, answers, and stops when told."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lockstep.errors import RegistryError, UsageError
from lockstep.serving.server import serve
from tests.conftest import ROOT
from tests.lockstep.bundle.candidate import bundle, published, rows
from tests.lockstep.serving.client import request

PROGRAM = """
import sys
from pathlib import Path
from lockstep.serving.server import serve
serve(Path(sys.argv[1]), None, "127.0.0.1", 0)
"""
HEAVY = ("tensorflow", "keras", "pandas", "pyarrow", "prefect", "dvc", "sklearn", "great_expectations")


class Served:
    """A server on a free port."""

    def __init__(self, root: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(root)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        lines = iter(self.process.stdout.readline, "")
        self.greeting = next(lines)
        self.curl = shlex.split(next(line for line in lines if line.startswith("  curl")))
        self.port = int(self.curl[1].split(":")[2].split("/")[0])

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}") as answer:
            return json.load(answer)

    def infer(self, body: bytes) -> Any:
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}/v2/models/income/infer", body)
        with urllib.request.urlopen(asked) as answer:
            return json.load(answer)

    def stop(self, number: int) -> tuple[int, str]:
        self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=20)
        return self.process.returncode, output


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("registry")
    published(root)
    return root


@pytest.fixture(scope="module")
def served(root: Path) -> Iterator[Served]:
    server = Served(root)
    yield server
    server.process.kill()
    server.process.wait()
    server.process.stdout.close()  # type: ignore[union-attr]


def test_it_says_what_it_serves_where(served: Served) -> None:
    assert served.greeting.startswith(
        f"income version 1 is served at http://127.0.0.1:{served.port}/v2/models/income"
    )


def test_its_example_request_works(served: Served) -> None:
    program, url, flag, body = served.curl
    assert (program, flag) == ("curl", "-d")
    assert url.endswith("/v2/models/income/infer")
    assert served.infer(body.encode())["outputs"][0]["shape"] == [1]


def test_it_scores_over_the_network(served: Served) -> None:
    table = rows(1000)
    answer = served.infer(json.dumps(request(table)).encode())
    np.testing.assert_allclose(answer["outputs"][0]["data"], bundle().scorer().probability(table), atol=1e-9)


def test_health_and_metadata_over_the_network(served: Served) -> None:
    assert served.get("/v2/health/ready") == {"ready": True}
    assert served.get("/v2/models/income")["versions"] == ["1"]


def test_a_refusal_leaves_the_connection_usable(served: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port)
    for body, status in (("{", 400), (json.dumps(request(rows(1))), 200), ("", 400)):
        connection.request("POST", "/v2/models/income/infer", body)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
    connection.close()


def test_a_body_said_to_be_too_large_is_refused_before_it_comes(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        head = "POST /v2/models/income/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"
        connection.sendall(head.encode())
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_when_told_and_answers_what_is_under_way(root: Path, number: int) -> None:
    server = Served(root)
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    body = json.dumps(request(rows(1))).encode()
    connection.putrequest("POST", "/v2/models/income/infer")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body[:10])
    # Another connection's answer shows that the first request has begun.
    server.get("/v2/health/live")
    finish = threading.Timer(0.5, lambda: connection.send(body[10:]))
    finish.start()
    code, output = server.stop(number)
    assert connection.getresponse().status == 200
    assert code == 0
    assert output.strip().endswith("Stopped.")
    connection.close()


def test_it_needs_no_library_of_the_pipeline(root: Path) -> None:
    program = f"""
import sys
from pathlib import Path
import flows.commands.serving
import lockstep.serving.server
import uvicorn
from lockstep.bundle.registry import Registry
from lockstep.serving.app import App
from tests.lockstep.serving.client import call
app = App(Registry.find(Path(sys.argv[1]), None).load_champion())
inputs = [dict(name=n, shape=[1], datatype="BYTES" if k == "category" else "FP64", data=[None])
          for n, k in app._kinds.items()]
assert call(app, body=dict(inputs=inputs)).status == 200
print(sorted(set({HEAVY!r}) & set(sys.modules)))
"""
    answer = subprocess.run(
        [sys.executable, "-c", program, root], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_a_taken_port_is_a_clear_error(root: Path, served: Served) -> None:
    with pytest.raises(UsageError, match=rf"127\.0\.0\.1:{served.port}.*--port"):
        serve(root, None, "127.0.0.1", served.port)


def test_an_unknown_host_is_a_clear_error(root: Path) -> None:
    with pytest.raises(UsageError, match="--host"):
        serve(root, "income", "no.such.host.invalid", 0)


def test_nothing_to_serve_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="lockstep run"):
        serve(tmp_path, None, "127.0.0.1", 0)


def test_a_keyring_that_lacks_the_key_is_a_clear_error(root: Path, tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM, root],
        cwd=ROOT,
        env={**os.environ, "LOCKSTEP_KEYRING": str(tmp_path / "none.json")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode != 0
    assert "none.json does not exist" in answer.stderr
