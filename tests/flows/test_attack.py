"""`lockstep attack` trains networks beside the pipeline, leaves a report and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from flows.attack import REPORT
from tests.flows.conftest import start_lockstep


@pytest.mark.slow
def test_networks_are_trained_and_attacked_with(small_project: Path, tmp_path: Path, server: str) -> None:
    root = tmp_path / "project"
    shutil.copytree(small_project, root)
    odd = start_lockstep(root, "attack", "--networks", "3")
    assert "--networks is an even number" in odd.communicate(timeout=60)[1]
    process = start_lockstep(root, "attack", "--networks", "2")
    output, errors = process.communicate(timeout=500)
    assert process.returncode == 0, output + errors
    assert "2 networks were trained" in output
    report = json.loads((root / REPORT).read_text())
    assert report["networks"] == 2
    assert report["verdict"] == "pass"
    low, high = report["attack"]["interval"]
    assert low <= report["attack"]["true_positive_rate"] <= high
    assert not (root / ".lockstep/lira").exists()
