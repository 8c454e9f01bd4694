"""What a passed run made goes to the DVC remote, and only then."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows import _remote
from lockstep.errors import ParameterError
from tests.flows.conftest import GRAPH, free_port, lockstep, start_lockstep, task_runs, write

CONFIG = "[core]\n    remote = store\n['remote \"store\"']\n    url = {url}\n"
Make = Callable[..., Path]
Flow = Callable[..., Any]


@pytest.fixture
def project(repository: Make) -> Path:
    """Two stages, and a remote beside the repository."""
    return repository(
        **{
            "source.txt": "a\n",
            "dvc.yaml": GRAPH,
            "params.yaml": "remote: store\n",
            ".dvc/config": CONFIG.format(url="../../store"),
        }
    )


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_remote, "_RETRY_SECONDS", 0)


def objects(store: Path) -> int:
    return sum(path.is_file() for path in store.rglob("*"))


def dvc(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=root, capture_output=True, text=True, timeout=60
    )


def test_a_passed_run_is_pushed_and_another_clone_pulls_it(
    project: Path, flow: Flow, server: str, tmp_path: Path
) -> None:
    state = flow(project)
    assert (state.name, state.message) == ("Completed", "2 of 2 stages ran.")
    # Both outputs have one content.
    assert task_runs(server, state)["push"] == ("Completed", "1 files pushed.")
    assert objects(project.parent / "store") == 1
    again = flow(project)
    assert task_runs(server, again)["push"] == ("Cached", "0 files pushed.")

    subprocess.run(["git", "add", "-A"], cwd=project, check=True)
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", *identity, "commit", "-qm", "Run"], cwd=project, check=True)
    subprocess.run(["git", "clone", "-q", str(project), str(tmp_path / "clone")], check=True)
    assert not (tmp_path / "clone" / "two.txt").exists()
    assert dvc(tmp_path / "clone", "pull").returncode == 0
    assert (tmp_path / "clone" / "two.txt").read_text() == "a\n"
    assert lockstep(tmp_path / "clone", "run").stdout == "Nothing to do: all 2 stages are up to date.\n"


def test_what_did_not_pass_or_has_no_verdict_stays(project: Path, flow: Flow, server: str) -> None:
    part = flow(project, stages=["one"])
    assert part.is_completed()
    assert "push" not in task_runs(server, part)
    write(project, {"dvc.yaml": GRAPH.replace("cp one.txt two.txt", "exit 1")})
    assert flow(project).is_failed()
    write(project, {"dvc.yaml": GRAPH, "params.yaml": "remote: null\n"})
    assert flow(project).is_completed()
    assert not (project.parent / "store").exists()


def test_a_failing_push_is_tried_again_and_leaves_the_results(
    project: Path, flow: Flow, server: str, at_once: None
) -> None:
    (project.parent / "store").write_text("in the way")
    state = flow(project)
    assert state.is_failed()
    assert state.message.startswith(
        "2 of 2 stages ran. What it made stands here, but the push to the DVC remote 'store' failed: "
    )
    assert "Not a directory" in state.message
    assert state.message.endswith(" `dvc push -r store` tries again.")
    assert dvc(project, "status").stdout == "Data and pipelines are up to date.\n"
    (project.parent / "store").unlink()
    assert flow(project).message == "0 of 2 stages ran."
    assert objects(project.parent / "store") == 1


def test_an_unknown_remote_is_named_and_not_tried_again(
    project: Path, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_remote, "_RETRY_SECONDS", 600)
    write(project, {"params.yaml": "remote: elsewhere\n"})
    state = flow(project)
    assert state.is_failed()
    assert "`dvc remote add elsewhere URL`" in state.message


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_push_ends_with_its_run(project: Path, server: str, number: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        write(project, {".dvc/config": CONFIG.format(url=f"http://127.0.0.1:{port}/store")})
        run = start_lockstep(project, "run")
        silent.settimeout(60)
        # It waits for an answer that never comes.
        connection, _ = silent.accept()
        with connection:
            children = psutil.Process(run.pid).children(recursive=True)
            assert any("flows._remote" in child.cmdline() for child in children)
            run.send_signal(number)
            _, errors = run.communicate(timeout=20)
            _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    assert run.returncode == (130 if number == signal.SIGINT else -number), errors
    assert dvc(project, "status").stdout == "Data and pipelines are up to date.\n"


@pytest.mark.parametrize(
    ("text", "expected"), [("remote: s\n", "s"), ("remote: null\n", None), ("a: 1\n", None), ("", None)]
)
def test_the_remote_of_the_project(tmp_path: Path, text: str, expected: str | None) -> None:
    assert _remote.remote_of(tmp_path) is None
    (tmp_path / "params.yaml").write_text(text)
    assert _remote.remote_of(tmp_path) == expected


def test_a_remote_that_is_no_name(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("remote: [a]\n")
    with pytest.raises(ParameterError, match=r"name of a DVC remote, or null. Received: \['a'\]"):
        _remote.remote_of(tmp_path)


def test_it_is_judged_before_any_stage(project: Path, flow: Flow) -> None:
    write(project, {"params.yaml": "remote: [a]\n"})
    assert "name of a DVC remote, or null" in flow(project).message
    assert not (project / "one.txt").exists()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of an S3 server on loopback with the bucket `models`."""
    pytest.importorskip("dvc_s3")
    moto = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    server = moto.ThreadedMotoServer("127.0.0.1", free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket="models")
    client.close()
    yield endpoint
    server.stop()


def test_s3(project: Path, flow: Flow, server: str, s3: str) -> None:
    write(project, {".dvc/config": CONFIG.format(url="s3://models/team") + f"    endpointurl = {s3}\n"})
    assert task_runs(server, flow(project))["push"] == ("Completed", "1 files pushed.")
    (project / "two.txt").unlink()
    shutil.rmtree(project / ".dvc" / "cache")
    pulled = dvc(project, "pull")
    assert pulled.returncode == 0, pulled.stderr
    assert (project / "two.txt").read_text() == "a\n"
