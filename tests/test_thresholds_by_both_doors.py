"""`debias.method: thresholds` through both doors, on rows that SMOTE balanced, until the bundle decides a table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lockstep.bundle.registry import Registry
from tests._doors import dvc, lockstep, require_nothing_left, require_the_same, run_by_flow, run_by_repro

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def doors(
    tmp_path_factory: pytest.TempPathFactory, prefect_home: Callable[[Path], Path]
) -> tuple[Path, Path]:
    debias = {"method": "thresholds", "protect": ["sex"], "constraint": "equalized_odds"}
    changes = {"debias": debias, "resample": {"method": "smote"}}
    flow, repro = tmp_path_factory.mktemp("flow"), tmp_path_factory.mktemp("repro")
    run_by_flow(prefect_home, flow, changes)
    run_by_repro(prefect_home, repro, changes)
    return flow / "project", repro / "project"


def test_both_doors_write_the_same_lock_and_the_same_bytes(doors: tuple[Path, Path]) -> None:
    require_the_same(*doors)
    require_nothing_left(doors[0])
    again = dvc(doors[1], "repro")
    assert (again.returncode, "Running stage" in again.stdout) == (0, False), again.stderr


def test_the_bundle_decides_the_test_rows_as_evaluate_judged_them(doors: tuple[Path, Path]) -> None:
    flow, _ = doors
    report = json.loads((flow / "reports/evaluation.json").read_text())
    named = {group["group"] for group in report["threshold"]["of_groups"]["groups"]}
    assert named == {"Female", "Male"}
    source = pq.read_table(flow / "data/raw/census.parquet")
    rows = source.filter(pc.equal(source["split"], "test")).drop_columns(["income"])
    pq.write_table(rows, flow / "test rows.parquet")
    scored = lockstep(flow, "predict", "test rows.parquet", "--out", "scores.parquet", "--plain")
    assert scored.returncode == 0, scored.stderr
    decided = np.array(pq.read_table(flow / "scores.parquet")["label"].to_pylist()) == "50000+."
    sex = np.array([value.strip() for value in rows["sex"].to_pylist()])
    for group, found in report["fairness"]["sex"]["groups"].items():
        assert decided[sex == group].mean() == pytest.approx(found["selection_rate"], abs=1e-12)
    assert 0 < decided.mean() < 1


def test_the_bundle_wants_the_sensitive_feature(doors: tuple[Path, Path]) -> None:
    flow, _ = doors
    bundle = Registry.find(flow / "registry", None).load_champion()
    assert [column.name for column in bundle.manifest.columns if column.sensitive] == ["sex"]
    blind = pq.read_table(flow / "data/raw/census.parquet").slice(0, 10).drop_columns(["sex"])
    pq.write_table(blind, flow / "blind.parquet")
    refused = lockstep(flow, "predict", "blind.parquet", "--out", "refused.parquet", "--plain")
    assert refused.returncode != 0
    assert "['sex']" in refused.stderr
    assert not (flow / "refused.parquet").exists()
