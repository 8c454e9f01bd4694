"""`lockstep compare`: every method trains on the same rows and is judged on the same validation rows."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from flows._comparisons import COMPARISONS, comparison
from flows.compare import SCRATCH
from lockstep.errors import UsageError
from tests.flows._debiased import CANARY, debiased_project, split_project
from tests.flows.conftest import latest_run, start_lockstep, wait_for

FIGURES = ["average_precision", "f1", "brier_uncalibrated", "brier", "ece_uncalibrated", "ece", "seconds"]


@pytest.mark.slow
def test_each_method_is_trained_and_judged(repository: Any, server: str) -> None:
    root = debiased_project(repository())
    before = (root / "params.yaml").read_bytes()
    process = start_lockstep(
        root, "compare", "resample", "over", "none", "--set", "resample.ratio=0.9", "--set", "train.epochs=2"
    )
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, output + errors
    assert "Methods of resample" in output
    assert "2 methods were trained and judged." in output
    report = json.loads((root / SCRATCH / "resample.json").read_text())
    assert report["overrides"] == ["resample.ratio=0.9", "train.epochs=2"]
    assert set(report["methods"]) == {"none", "over"}
    none, over = report["methods"]["none"], report["methods"]["over"]
    assert none["n_train"] == 500
    assert over["n_train"] == 500 + over["n_made"] > 500
    for method in (none, over):
        assert list(method["figures"]) == sorted(FIGURES)
        assert 0 < method["figures"]["average_precision"] < 1
    # Classes near balance make a class of a quarter look likely, and calibration takes that back.
    assert over["figures"]["ece_uncalibrated"] > over["figures"]["ece"]
    picture = (root / SCRATCH / "resample.svg").read_text()
    assert all(f.replace("_", " ") in picture for f in FIGURES)
    assert (root / "params.yaml").read_bytes() == before
    assert not (root / "dvc.lock").exists()
    for path in root.rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path
    body = {"flow_runs": {"id": {"any_": [latest_run(server)["id"]]}}}
    runs = wait_for(
        lambda: [r for r in httpx.post(f"{server}/task_runs/filter", json=body).json() if r["end_time"]]
    )
    assert {run["name"] for run in runs} == {"method none", "method over"}


@pytest.mark.slow
def test_methods_of_debias_are_judged_from_the_split_on(repository: Any, server: str) -> None:
    root = split_project(repository())
    process = start_lockstep(
        root, "compare", "debias", "drop", "thresholds", "correlation", "--set", "train.epochs=2"
    )
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, output + errors
    assert "Methods of debias" in output
    # No feature is numeric there: the method is named, and the others are judged.
    assert "correlation failed: debias.method correlation changes numeric features" in output + errors
    methods = json.loads((root / SCRATCH / "debias.json").read_text())["methods"]
    assert set(methods) == {"drop", "thresholds"}
    for found in methods.values():
        assert set(found["figures"]) == {
            "roc_auc", "average_precision", "f1", "demographic_parity_difference:side",
            "equalized_odds_difference:side", "seconds",
        }  # fmt: skip
    assert "demographic parity" in (root / SCRATCH / "debias.svg").read_text()
    for path in root.rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("what", "methods", "words"),
    [
        ("encrypt", [], r"'encrypt' cannot be compared. Choose one of: .*resample"),
        ("resample", ["ovr"], r"'ovr' is no method of resample. Did you mean over\? There are: none, over"),
    ],
)
def test_what_cannot_be_compared_is_named(what: str, methods: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        comparison(what, methods)


def test_all_methods_in_the_registrys_order() -> None:
    for what, one in COMPARISONS.items():
        assert comparison(what, [])[1] == list(one.methods)
