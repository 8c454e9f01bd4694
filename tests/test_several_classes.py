"""A table of three classes through `lockstep init` and both doors: scikit-learn's wine."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from sklearn.datasets import load_wine

from tests.conftest import ANY_LOSS, copy_project
from tests.test_two_doors import dvc, lockstep

pytestmark = pytest.mark.slow


def test_three_classes_by_init_and_both_doors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_KEYRING", str(tmp_path / "keyring.json"))
    for screen in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(screen, raising=False)
    project = copy_project(tmp_path / "project")
    wine = load_wine(as_frame=True)
    frame = wine.data.rename(columns=lambda name: name.split("/")[0])
    frame["cellar"] = np.where(np.arange(len(frame)) % 3 == 0, "north", "south")
    frame["grape"] = [wine.target_names[i] for i in wine.target]
    frame.to_csv(tmp_path / "wine.csv", index=False)
    made = lockstep(project, "init", "../wine.csv", "--target", "grape", "--sensitive", "cellar")
    assert made.returncode == 0, made.stderr
    params = yaml.safe_load((project / "params.yaml").read_text())
    assert params["data"]["positive"] is None
    for gate in ("demographic_parity_difference", "equalized_odds_difference"):
        params["evaluate"]["gates"][gate]["cellar"] = 1.0
    # 178 rows cannot tell how many members an attack finds.
    params["evaluate"]["gates"].update(
        explanation_agreement=-1.0,
        membership_inference=None,
        membership_inference_auc=None,
        robustness=ANY_LOSS,
    )
    params["evaluate"].update(min_group_rows=5, min_group_positives=1, bootstrap_samples=100)
    # Of few test rows the smaller cellar would be called "(other)", and the larger one by a hair not.
    params["data"]["min_category_rows"] = 5
    params["train"]["min_steps"] = 300
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    finished = dvc(project, "repro")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    again = lockstep(project, "run")
    assert again.returncode == 0, again.stderr
    assert "Nothing to do" in again.stdout
    evaluation = json.loads((project / "reports/evaluation.json").read_text())
    assert evaluation["verdict"] == "pass"
    assert evaluation["metrics"]["roc_auc"] > 0.95
    assert set(evaluation["classes"]) == set(wine.target_names)
    for command in ("results", "report"):
        shown = lockstep(project, command)
        assert shown.returncode == 0, shown.stderr
    scored = lockstep(project, "predict", "../wine.csv", "--out", "scores.parquet", "--plain")
    assert scored.returncode == 0, scored.stderr
    table = pq.read_table(project / "scores.parquet").to_pandas()
    assert np.mean(table["label"] == frame["grape"]) > 0.9
    names = [f"probability:{name}" for name in sorted(wine.target_names)]
    np.testing.assert_allclose(table[names].sum(axis=1), 1.0)
