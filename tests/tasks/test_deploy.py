"""`deploy` promotes on a passed verdict alone, and says why it does not."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from lockstep.bundle.decision import Decision
from lockstep.bundle.manifest import Manifest
from lockstep.data.project import MAY_BE_WORSE
from lockstep.errors import NotPromoted, ReportAltered
from tasks._champion import ChampionGates
from tasks.deploy import DeployParams, run
from tests.conftest import ROOT
from tests.lockstep.bundle.candidate import POSITIVE, PROJECT, bundle, encoder_and_model

PARAMS = DeployParams(
    project=PROJECT,
    target="income",
    positive=POSITIVE,
    name="income",
    intended_use=None,
    out_of_scope=None,
    owner=None,
    contact=None,
    bootstrap_samples=100,
    seed=1,
    champion=ChampionGates(**MAY_BE_WORSE),
)
GATES = [
    {
        "gate": "roc_auc",
        "verdict": "pass",
        "figure": 0.96,
        "interval": [0.95, 0.97],
        "threshold": 0.9,
        "direction": "at least",
        "n_rows": 1200,
    },
    {
        "gate": "equalized_odds_difference:sex",
        "verdict": "pass",
        "figure": 0.1,
        "interval": [0.0, 0.2],
        "threshold": 0.25,
        "direction": "at most",
        "n_rows": 1200,
    },
]


REPORTS = [
    dep
    for dep in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["deploy"]["deps"]
    if dep.startswith("reports/") and not dep.endswith(".sealed")
]


def an_evaluation(**changes: Any) -> dict[str, Any]:
    return {
        "candidate": bundle().manifest.candidate,
        "verdict": "pass",
        "gates": GATES,
        "metrics": {"roc_auc": 0.96, "threshold": 0.5},
        "n_test": 1200,
        **changes,
    }


def a_failure(verdict: str, figure: float | None, gate: int = 1) -> dict[str, Any]:
    gates = [dict(g) for g in GATES]
    gates[gate].update(verdict=verdict, figure=figure)
    return an_evaluation(verdict=verdict, gates=gates)


def _run(evaluation: dict[str, Any], approvals: list[Any] | None = None) -> Any:
    candidate = bundle().manifest.candidate
    return run(*encoder_and_model(), Decision(0.5), candidate, evaluation, approvals or [], PARAMS)


def test_a_pass_gives_a_bundle_and_a_report_of_content_facts() -> None:
    deployment = _run(an_evaluation())
    assert deployment.report == {
        "candidate": bundle().manifest.candidate,
        "verdict": "pass",
        "override": None,
    }
    manifest = deployment.bundle.manifest
    assert (manifest.threshold, manifest.positive) == (0.5, POSITIVE)
    assert [(c.name, c.kind) for c in manifest.columns][:2] == [("age", "numeric"), ("state", "category")]
    assert (manifest.created, manifest.git_revision, manifest.measured) == (None, None, None)


@pytest.mark.parametrize(
    ("labels", "negative"),
    [
        ([], f"not {POSITIVE}"),
        (["under 50k", POSITIVE], "under 50k"),
        ([POSITIVE, "under 50k"], "under 50k"),
        ([POSITIVE], f"not {POSITIVE}"),
    ],
)
def test_the_other_label_is_the_targets_own_where_it_is_known(labels: list[str], negative: str) -> None:
    assert _run(an_evaluation(labels=labels)).bundle.manifest.negative == negative


@pytest.mark.parametrize(
    ("evaluation", "message"),
    [
        (
            a_failure("fail", 0.31),
            r"equalized_odds_difference:sex: fail; 0.3100, asked: at most 0.25 \(1,200 rows\)",
        ),
        (a_failure("insufficient evidence", None), "sex: insufficient evidence; no figure"),
        (a_failure("fail", 0.85, gate=0), "roc_auc: fail; 0.8500, asked: at least 0.9"),
    ],
)
def test_a_failed_gate_is_named(evaluation: dict[str, Any], message: str) -> None:
    with pytest.raises(NotPromoted, match=message) as refused:
        _run({**evaluation, "candidate": bundle().manifest.candidate})
    assert refused.value.exit_code == 1
    assert str(refused.value).count("asked:") == 1


def test_every_failed_gate_is_named() -> None:
    gates = [{**gate, "verdict": "fail", "figure": 0.31} for gate in GATES]
    with pytest.raises(NotPromoted, match=r"(?s)roc_auc: fail.*equalized_odds_difference:sex: fail"):
        _run(an_evaluation(verdict="fail", gates=gates))


def test_an_evaluation_of_another_candidate_is_refused() -> None:
    with pytest.raises(NotPromoted, match="another candidate"):
        _run(an_evaluation(candidate="00" * 32))


@pytest.mark.parametrize("key", ["candidate", "verdict", "gates", "metrics"])
def test_an_incomplete_evaluation_is_refused(key: str) -> None:
    evaluation = an_evaluation()
    del evaluation[key]
    with pytest.raises(NotPromoted, match=key):
        _run(evaluation)


@pytest.mark.parametrize(
    ("approvals", "message"),
    [
        ([{"candidate": "x"}], "Wrong or missing: at, by, figure, gate, reason, threshold, verdict"),
        (["yes"], "list of objects with at, by, candidate"),
    ],
)
def test_malformed_approvals_are_refused(approvals: list[Any], message: str) -> None:
    with pytest.raises(NotPromoted, match=message):
        _run(an_evaluation(), approvals)


def an_approval(**changes: Any) -> dict[str, Any]:
    return {
        "candidate": bundle().manifest.candidate,
        "gate": "equalized_odds_difference:sex",
        "verdict": "fail",
        "figure": 0.31,
        "threshold": 0.25,
        "reason": "A pilot of 30 people.",
        "by": "A <a@example.org>",
        "at": "2026-01-02T03:04:05+00:00",
        **changes,
    }


def test_an_approval_of_the_failed_gate_lets_it_pass() -> None:
    deployment = _run(a_failure("fail", 0.31), [an_approval(candidate="00" * 32), an_approval()])
    override = {k: v for k, v in an_approval().items() if k in ("gate", "verdict", "reason", "by", "at")}
    assert deployment.report["override"] == [override] == deployment.bundle.manifest.override
    assert deployment.report["verdict"] == deployment.bundle.manifest.verdict == "fail"
    manifest = deployment.bundle.manifest
    assert Manifest.from_json(manifest.to_json(), "manifest.json").override == [override]


@pytest.mark.parametrize(
    "changes",
    [
        {"candidate": "00" * 32},
        {"gate": "roc_auc"},
        {"figure": 0.3},
        {"threshold": 0.2},
        {"verdict": "insufficient evidence"},
    ],
)
def test_an_approval_of_something_else_does_not(changes: dict[str, Any]) -> None:
    with pytest.raises(NotPromoted, match=r"sex: fail"):
        _run(a_failure("fail", 0.31), [an_approval(**changes)])


@pytest.mark.parametrize("changes", [{"reason": " "}, {"by": ""}])
def test_an_approval_without_a_reason_or_a_name_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(NotPromoted, match=f"Wrong or missing: {next(iter(changes))}"):
        _run(a_failure("fail", 0.31), [an_approval(**changes)])


def test_each_failed_gate_needs_its_approval() -> None:
    gates = [{**gate, "verdict": "fail", "figure": 0.31} for gate in GATES]
    with pytest.raises(NotPromoted, match="roc_auc: fail") as refused:
        _run(an_evaluation(verdict="fail", gates=gates), [an_approval()])
    assert "equalized" not in str(refused.value)


@pytest.mark.parametrize(
    "evaluation",
    [
        an_evaluation(verdict="fail"),
        {**a_failure("fail", 0.31), "verdict": "pass"},
        a_failure("pass", 0.31),
    ],
)
def test_verdicts_that_do_not_follow_from_the_figures_are_refused(evaluation: dict[str, Any]) -> None:
    with pytest.raises(ReportAltered, match="The evaluation was altered"):
        _run({**evaluation, "candidate": bundle().manifest.candidate}, [an_approval()])
