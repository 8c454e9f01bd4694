"""Several devices and several machines end where one device does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.flows.conftest import free_port


def start(program: str, environment: Mapping[str, str] = os.environ) -> subprocess.Popen[str]:
    """Start a module of this directory: devices are told apart before TensorFlow has begun."""
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.lockstep.models.{program}"],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, errors = process.communicate()
    assert process.returncode == 0, errors[-3000:]
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


@pytest.mark.slow
def test_two_devices_end_where_one_does() -> None:
    found = said(start("_two_devices"))
    assert found.pop("replicas") == 2
    assert found.pop("moved") == 0.0
    assert max(found.values()) < 1e-4, found


@pytest.mark.slow
def test_two_machines_end_where_one_does() -> None:
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]

    def environment(index: int) -> dict[str, str]:
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        return os.environ | {"TF_CONFIG": json.dumps(task)}

    workers = [start("_two_workers", environment(index)) for index in range(2)]
    for worker in workers:
        found = said(worker)
        assert found["replicas"] == 2
        assert found["apart"] < 1e-3
