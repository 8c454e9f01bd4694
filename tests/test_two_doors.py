"""The default pipeline through both doors: the same lock, the same bytes, nothing left to do."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import average_precision_score, roc_auc_score

from lockstep.data.tables import from_parquet
from lockstep.sealing.vault import open_vault
from tests._doors import call, dvc, lockstep, require_nothing_left, require_the_same
from tests.conftest import copy_project, outputs, stages

METRICS = {
    "roc_auc", "average_precision", "log_loss", "ece", "accuracy", "error_rate", "precision", "recall", "f1", "brier",
    "threshold", "n_test",
}  # fmt: skip


@pytest.fixture(scope="module")
def doors(flow_project: Path, repro_project: Path) -> tuple[Path, Path]:
    """Two clones with one keyring: one run by the flow, one by `dvc repro`."""
    return flow_project, repro_project


def test_both_doors_write_the_same_lock_and_the_same_bytes(doors: tuple[Path, Path]) -> None:
    require_the_same(*doors)


def test_after_the_flow_nothing_is_left_to_do(doors: tuple[Path, Path]) -> None:
    require_nothing_left(doors[0])


def test_after_repro_the_flow_has_nothing_to_do(doors: tuple[Path, Path]) -> None:
    _, repro = doors
    by_flow = lockstep(repro, "run")
    assert by_flow.returncode == 0
    assert "Nothing to do" in by_flow.stdout


@pytest.mark.slow
def test_a_clone_without_the_source_pulls_runs_nothing_and_deploys(
    doors: tuple[Path, Path], tmp_path: Path
) -> None:
    flow, _ = doors
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    assert call(flow, "git", "add", "-A").returncode == 0
    committed = call(flow, "git", *identity, "commit", "-qm", "Run")
    assert committed.returncode == 0, committed.stderr
    clone = tmp_path / "clone"
    assert call(tmp_path, "git", "clone", "-q", str(flow), str(clone), home=tmp_path).returncode == 0
    assert dvc(clone, "remote", "modify", "--local", "local", "url", str(flow / "remote")).returncode == 0
    pulled = dvc(clone, "pull")
    assert pulled.returncode == 0, pulled.stderr
    source, receipt = "data/raw/census.parquet", "reports/deploy.json"
    made = [out for stage in stages(flow).values() for out in outputs(stage) if out != source]
    assert {out for out in made if not (clone / out).exists()} == set()
    assert all((clone / out).read_bytes() == (flow / out).read_bytes() for out in made)
    assert not (clone / source).exists()
    assert not (clone / "registry").exists()
    before = (clone / "dvc.lock").read_bytes()
    repro = dvc(clone, "repro", "--allow-missing")
    assert (repro.returncode, "Running stage" in repro.stdout) == (0, False), repro.stderr
    by_flow = lockstep(clone, "run", "--allow-missing")
    assert by_flow.stdout == "Nothing to do: all 10 stages are up to date.\n", by_flow.stderr
    deployed = lockstep(clone, "deploy")
    assert (deployed.returncode, "is deployed" in deployed.stdout) == (0, True), deployed.stderr
    champion = json.loads((clone / "registry/income/champion.json").read_text())
    assert champion["candidate"] == json.loads((flow / receipt).read_text())["candidate"]
    assert (clone / receipt).read_bytes() == (flow / receipt).read_bytes()
    assert (clone / "dvc.lock").read_bytes() == before


def test_metrics_can_be_recomputed_from_the_sealed_predictions(doors: tuple[Path, Path]) -> None:
    flow, _ = doors
    metrics = json.loads((flow / "reports/metrics.json").read_text())
    assert set(metrics) == METRICS
    vault = open_vault("census-demo", flow / "lockstep.key-id")
    content = vault.read(flow / "reports/predictions.parquet.sealed", role="predictions", schema="table/1")
    predictions = from_parquet(content).to_pandas()
    assert len(predictions) == metrics["n_test"]
    assert roc_auc_score(predictions["label"], predictions["probability"]) == pytest.approx(
        metrics["roc_auc"]
    )
    assert average_precision_score(predictions["label"], predictions["probability"]) == pytest.approx(
        metrics["average_precision"]
    )


@pytest.mark.slow
def test_a_changed_parameter_reruns_what_depends_on_it(doors: tuple[Path, Path]) -> None:
    flow, _ = doors
    path = flow / "params.yaml"
    before = path.read_text()
    params = yaml.safe_load(before)
    params["evaluate"]["seed"] += 1
    path.write_text(yaml.safe_dump(params, sort_keys=False))
    finished = lockstep(flow, "run")
    path.write_text(before)
    assert finished.returncode == 0, finished.stderr
    ran = {line.split(":")[0] for line in (finished.stdout + finished.stderr).splitlines() if ": ran" in line}
    assert ran <= {"evaluate", "deploy", "push"}
    assert "evaluate" in ran
    assert lockstep(flow, "run").returncode == 0


@pytest.mark.slow
def test_a_failed_gate_stops_deploy_with_one_message(doors: tuple[Path, Path]) -> None:
    _, repro = doors
    path = repro / "params.yaml"
    before = path.read_text()
    params = yaml.safe_load(before)
    params["evaluate"]["gates"]["roc_auc"] = 1.0
    path.write_text(yaml.safe_dump(params, sort_keys=False))
    receipt = (repro / "reports/deploy.json").read_bytes()
    pointers = {p: p.read_bytes() for p in (repro / "registry").rglob("*") if p.is_file()}
    finished = dvc(repro, "repro")
    path.write_text(before)
    assert finished.returncode != 0
    output = finished.stdout + finished.stderr
    assert "error: " in output
    assert "roc_auc" in output
    assert "Traceback" not in output
    assert (repro / "reports/deploy.json").read_bytes() == receipt
    assert {p: p.read_bytes() for p in (repro / "registry").rglob("*") if p.is_file()} == pointers


@pytest.mark.slow
def test_another_table_comes_in_by_init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """scikit-learn's breast cancer table: all numeric, 569 rows, no split of its own."""
    monkeypatch.setenv("LOCKSTEP_KEYRING", str(tmp_path / "keyring.json"))
    project = copy_project(tmp_path / "project")
    frame = load_breast_cancer(as_frame=True).frame
    frame["hospital"] = pd.Series(["north", "south"] * 285)[: len(frame)]
    frame.to_csv(tmp_path / "cancer table.csv", index=False)
    made = lockstep(project, "init", "../cancer table.csv", "--target", "target", "--sensitive", "hospital")
    assert made.returncode == 0, made.stderr
    params = yaml.safe_load((project / "params.yaml").read_text())
    assert params["data"]["positive"] == "0"
    assert "sample" not in stages(project)
    params["evaluate"]["gates"]["demographic_parity_difference"]["hospital"] = 0.5
    params["evaluate"]["gates"]["equalized_odds_difference"]["hospital"] = 0.5
    params["evaluate"].update(min_group_rows=10, min_group_positives=5)
    params["train"]["epochs"] = 20
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    finished = dvc(project, "repro")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    metrics = json.loads((project / "reports/metrics.json").read_text())
    assert metrics["roc_auc"] > 0.95
    assert json.loads((project / "reports/evaluation.json").read_text())["verdict"] == "pass"
    again = lockstep(project, "results")
    assert again.returncode == 0, again.stderr
    assert "Verdict: pass" in again.stdout
