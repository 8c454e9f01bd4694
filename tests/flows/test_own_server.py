"""A run that starts a Prefect server of its own: stopped or killed, it leaves none behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import yaml

from tests.flows.conftest import WAITING, is_alive, start_lockstep, wait_for

from .commands.test_up import alone

__all__ = ["alone"]


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_it_ends_with_the_run(repository: Callable[..., Path], alone: None, number: signal.Signals) -> None:
    root = repository(**{"source.txt": "a\n", "dvc.yaml": WAITING})
    run = start_lockstep(root, "run")
    wait_for((root / "started").exists, seconds=180)
    family = psutil.Process(run.pid).children(recursive=True)
    assert any("uvicorn" in word for process in family for word in process.cmdline())
    stage = [process.pid for process in family if "while" in " ".join(process.cmdline())]
    assert stage
    began = time.monotonic()
    # As a terminal does: to the whole process group.
    os.killpg(run.pid, number)
    wait_for(lambda: not any(map(is_alive, stage)))
    assert time.monotonic() - began < 5
    _, stderr = run.communicate(timeout=60)
    _, alive = psutil.wait_procs(family, timeout=15)
    assert alive == []
    assert set(yaml.safe_load((root / "dvc.lock").read_text())["stages"]) == {"first"}
    if number == signal.SIGINT:
        assert (run.returncode, stderr[:15]) == (130, "error: Stopped."), stderr
        assert "Traceback" not in stderr
        assert "logging" not in stderr
