"""What a team deploys with: prefect.yaml, the one for containers, their image, and the automation for a failed gate."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.conftest import copy_project
from tests.flows.conftest import GRAPH, ROOT, wait_for, write

from .commands.test_up import running

FILES = ["prefect.yaml", "docker/prefect.yaml"]


def prefect(directory: Path, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
        cwd=directory,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def team_server(
    empty_repository: Path, tmp_path_factory: pytest.TempPathFactory, prefect_home: Callable[[Path], Path]
) -> Iterator[str]:
    """Address of a server of its own: a deployment takes the place of one of the same name."""
    root = tmp_path_factory.mktemp("team") / "project"
    shutil.copytree(empty_repository, root)
    write(root, {"dvc.yaml": GRAPH})
    with ExitStack() as stack:
        # Only while it starts: the tests' other server has set these for itself.
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("PREFECT_")]:
                patch.delenv(name)
            patch.setenv("PREFECT_HOME", str(prefect_home(root.parent / "prefect")))
            address = stack.enter_context(running(root))
        yield address


@pytest.fixture(scope="module")
def deployed(team_server: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The deployments of both files, by name, on a server with their work pools."""
    project = copy_project(tmp_path_factory.mktemp("deployments") / "project")
    for name, kind in (("", "process"), ("-docker", "docker"), ("-kubernetes", "kubernetes")):
        pool = {"name": f"lockstep{name}", "type": kind, "base_job_template": {}}
        httpx.post(f"{team_server}/work_pools/", json=pool).raise_for_status()
    for file in FILES:
        prefect(
            project,
            *("deploy", "--all", "--prefect-file", file),
            PREFECT_API_URL=team_server,
            PREFECT_HOME=str(project.parent),
        )
    found = httpx.post(f"{team_server}/deployments/filter", json={}).json()
    return {one["name"]: one for one in found if one["work_pool_name"]}


def test_every_deployment_is_made(deployed: dict[str, dict[str, Any]]) -> None:
    declared = [
        one["name"] for file in FILES for one in yaml.safe_load((ROOT / file).read_text())["deployments"]
    ]
    assert sorted(deployed) == sorted(declared)
    assert {name: one["entrypoint"] for name, one in deployed.items()} == dict.fromkeys(
        ("nightly", "nightly-docker", "nightly-kubernetes", "on-change"), "flows/lifecycle.py:lifecycle"
    ) | {
        "search": "flows/search.py:search",
        "cross-validate": "flows/cross_validate.py:cross_validate",
        "compare": "flows/compare.py:compare",
        "attack": "flows/attack.py:attack",
        "learning-curve": "flows/learning_curve.py:learning_curve",
    }
    for name, one in deployed.items():
        assert one["global_concurrency_limit"]["limit"] == 1
        if name in ("search", "cross-validate", "compare", "attack", "learning-curve"):
            assert not one["schedules"]
            continue
        [schedule] = one["schedules"]
        assert schedule["active"]
        assert schedule["schedule"].get("cron", schedule["schedule"].get("interval")) in ("0 2 * * *", 900)
    assert "interval" in deployed["on-change"]["schedules"][0]["schedule"]
    assert [step["directory"] for one in deployed.values() for step in one["pull_steps"][0].values()]


def test_their_parameters_are_those_of_the_flow(
    team_server: str, deployed: dict[str, dict[str, Any]]
) -> None:
    from prefect.utilities.schema_tools.validation import is_valid

    for one in deployed.values():
        file, _, name = one["entrypoint"].partition(":")
        flow = getattr(importlib.import_module(file.removesuffix(".py").replace("/", ".")), name)
        schema = flow.parameters.model_dump()
        assert all(field["description"] for field in schema["properties"].values())
        assert one["parameter_openapi_schema"]["properties"] == schema["properties"]
        assert one["parameters"]
        assert set(one["parameters"]) <= set(schema["properties"])
        assert is_valid(one["parameters"], schema)
        assert not is_valid(one["parameters"] | {"jobs": 0}, schema)
        body = {"parameters": {"jobs": "many"}, "enforce_parameter_schema": True}
        refused = httpx.post(f"{team_server}/deployments/{one['id']}/create_flow_run", json=body)
        assert refused.is_client_error


@pytest.fixture
def messages() -> Iterator[tuple[str, list[Any]]]:
    """Address that takes messages, and those that came."""
    came: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}", came
        listening.shutdown()
        thread.join()


def test_a_failed_gate_sends_its_sentence(
    server: str, messages: tuple[str, list[Any]], repository: Any, flow: Any, tmp_path: Path
) -> None:
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    address, came = messages
    block = CustomWebhookNotificationBlock(
        name="gate", url=address, json_data={"subject": "{{subject}}", "body": "{{body}}"}
    )
    identifier = block.save("gate", overwrite=True)
    text = (ROOT / "automations.yaml").read_text()
    assert text.count("00000000-0000-0000-0000-000000000000") == 1
    file = tmp_path / "automations.yaml"
    file.write_text(text.replace("00000000-0000-0000-0000-000000000000", str(identifier)))
    made = prefect(tmp_path, "automation", "create", "--from-file", str(file))
    assert "Created automation 'lockstep-gate-failed'" in made
    # A stage that is no gate fails, too, and sends nothing.
    for name in ("train", "deploy"):
        graph = {"stages": {name: {"cmd": "exit 1", "outs": ["made"]}}}
        assert flow(repository(name, **{"dvc.yaml": json.dumps(graph)})).is_failed()
    wait_for(lambda: came)
    assert came == [
        {"subject": "Lockstep: deploy failed", "body": "The command `exit 1` ended with exit code 1."}
    ]


def test_the_image_is_linted() -> None:
    hadolint = shutil.which("hadolint")
    assert hadolint
    done = subprocess.run([hadolint, "docker/Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
