"""`lockstep cross-validate`: every fold trains anew on its own rows, and no test row is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from flows.cross_validate import REPORT
from lockstep.data.tables import SCHEMA, to_parquet
from lockstep.sealing.vault import open_vault
from tests.flows._debiased import CANARY, debiased_project, table
from tests.flows.conftest import latest_run, start_lockstep, wait_for


@pytest.fixture
def root(repository: Any) -> Path:
    return debiased_project(repository())


@pytest.mark.slow
def test_every_fold_and_what_they_say_together(root: Path, server: str) -> None:
    process = start_lockstep(root, "cross-validate", "--folds", "2")
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, output + errors
    assert "2-fold cross-validation" in output
    assert "2 folds were trained and scored." in output
    report = json.loads((root / REPORT).read_text())
    assert report["n_folds"] == 2
    folds = report["folds"]
    assert sum(fold["n_scored"] for fold in folds) == 600
    for fold in folds:
        assert fold["n_train"] + fold["n_validation"] + fold["n_scored"] == 600
        assert 0.0 < fold["figures"]["roc_auc"] < 1.0
    for name, found in report["metrics"].items():
        values = [fold["figures"][name] for fold in folds]
        assert found["mean"] == pytest.approx(np.mean(values))
        assert found["standard_deviation"] == pytest.approx(np.std(values, ddof=1))
    body = {"flow_runs": {"id": {"any_": [latest_run(server)["id"]]}}}
    runs = wait_for(
        lambda: [r for r in httpx.post(f"{server}/task_runs/filter", json=body).json() if r["end_time"]]
    )
    assert {run["name"]: run["state"]["name"] for run in runs} == {
        "fold 1": "Completed",
        "fold 2": "Completed",
    }
    # Nothing became an output of the pipeline, and nothing lies there in clear.
    assert not (root / "dvc.lock").exists()
    for path in root.rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path


def test_a_fold_that_fails_says_why(root: Path, server: str) -> None:
    vault = open_vault("census-demo", root / "lockstep.key-id")
    few = table(30, 3).set_column(2, "y", pa.array(["yes"] * 2 + ["no"] * 28))
    for part in ("train", "validation"):
        path = root / f"data/debiased/{part}.parquet.sealed"
        vault.write(path, to_parquet(few), role=f"debiased-{part}", schema=SCHEMA)
    process = start_lockstep(root, "cross-validate", "--folds", "9")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Fold 1 failed: A class of 4 rows is too small for 9 folds." in errors
    assert not (root / REPORT).exists()
