"""`lockstep attack` and `learning-curve` train networks beside the pipeline, leave a report and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from flows import learning_curve
from flows.attack import REPORT
from tests.flows.conftest import start_lockstep


@pytest.fixture(scope="module")
def root(small_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("attacked") / "project"
    shutil.copytree(small_project, root)
    return root


@pytest.mark.slow
def test_networks_are_trained_and_attacked_with(root: Path, server: str) -> None:
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


@pytest.mark.slow
def test_networks_are_trained_on_growing_shares(root: Path, server: str) -> None:
    process = start_lockstep(root, "learning-curve", "--networks", "2", "--jobs", "2")
    output, errors = process.communicate(timeout=500)
    assert process.returncode == 0, output + errors
    assert "8 networks were trained" in output
    report = json.loads((root / learning_curve.REPORT).read_text())
    assert report["candidate"] == json.loads((root / "reports/evaluation.json").read_text())["candidate"]
    rows = [point["n_train"] for point in report["points"]]
    assert rows == sorted(set(rows))
    assert len(rows) == 4
    assert f"From {rows[-2]:,} to {rows[-1]:,} training rows" in " ".join(output.split())
    assert not (root / ".lockstep/learning_curve").exists()
