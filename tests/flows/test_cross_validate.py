"""`lockstep cross-validate`: every fold trains anew on its own rows, and no test row is read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
import yaml

from flows.cross_validate import REPORT
from lockstep.data.tables import SCHEMA, to_parquet
from lockstep.sealing.vault import open_vault
from tests.conftest import ROOT, set_up_keys
from tests.conftest import stages as stages_of
from tests.flows.conftest import latest_run, start_lockstep, wait_for, write

CANARY = "canary-4711"
STAGES = ("resample", "train")


def table(n_rows: int, seed: int) -> pa.Table:
    """Rows whose class follows from two features, of which many rows share both."""
    rng = np.random.default_rng(seed)
    size, word = rng.integers(0, 40, n_rows), rng.choice(["a", "b", CANARY], n_rows)
    positive = rng.random(n_rows) < 0.1 + 0.5 * (size > 25)
    return pa.table({"size": size, "word": word, "y": np.where(positive, "yes", "no")})


@pytest.fixture
def root(repository: Any) -> Path:
    """A project that has the sealed rows of train and validation, and no test row anywhere."""
    made: Path = repository()
    shutil.copytree(ROOT / "tasks", made / "tasks", dirs_exist_ok=True)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"].update(target="y", positive="yes", sensitive=[], not_features=[], split_column=None)
    params["train"].update(epochs=1, min_steps=0, ensemble="none", batch_size=64, hidden=[8])
    stages = {name: stage for name, stage in stages_of(ROOT).items() if name in STAGES}
    for stage in stages.values():
        stage["deps"] = [dep for dep in stage["deps"] if not dep.endswith(".py")]
    write(made, {"params.yaml": yaml.safe_dump(params), "dvc.yaml": yaml.safe_dump({"stages": stages})})
    set_up_keys(made)
    vault = open_vault(params["project"], made / "lockstep.key-id")
    for seed, (part, n_rows) in enumerate({"train": 500, "validation": 100}.items()):
        path = made / f"data/debiased/{part}.parquet.sealed"
        vault.write(path, to_parquet(table(n_rows, seed)), role=f"debiased-{part}", schema=SCHEMA)
    return made


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
