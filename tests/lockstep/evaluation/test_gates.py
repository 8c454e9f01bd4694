"""A report of `evaluate` whose verdicts were changed by hand is told from one that was not."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from lockstep.errors import ReportAltered
from lockstep.evaluation.gates import describe, judge, no_evidence, require_consistent, verdict


def a_report(*figures: float) -> dict[str, Any]:
    """Of a gate each of at least 0.6, and one without evidence where there are none."""
    gates = [
        judge(f"gate {i}", figure, (figure, figure), 0.6, "at least", 10) for i, figure in enumerate(figures)
    ]
    gates = gates or [no_evidence("difference:sex", 0.1, 3, ["few"])]
    return {"gates": [gate.as_dict() for gate in gates], "verdict": verdict(gates)}


@pytest.mark.parametrize("figures", [(), (0.7,), (0.6, 0.59), (0.5, 0.7)])
def test_what_evaluate_writes_is_consistent(figures: tuple[float, ...]) -> None:
    require_consistent(a_report(*figures), "It")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"verdict": "pass"}, r"gate 1: pass; 0\.5000, asked: at least 0\.6 \(10 rows\)\. .* follows: fail"),
        ({"figure": 0.61}, "gate 1: fail; 0.6100.* follows: pass"),
        ({"figure": None}, "gate 1: fail; no figure.* follows: insufficient evidence"),
        ({"threshold": 0.4}, "gate 1: fail; .*at least 0.4.* follows: pass"),
        ({"direction": "at most"}, "gate 1: fail; .*at most 0.6.* follows: pass"),
        ({"direction": "near"}, "cannot be read"),
        ({"figure": "0.7"}, "cannot be read"),
    ],
)
def test_a_changed_gate_is_named(changes: dict[str, Any], message: str) -> None:
    report = a_report(0.7, 0.5)
    report["gates"][1].update(changes)
    with pytest.raises(ReportAltered, match=rf"(?s)^reports/x .*{message}"):
        require_consistent(report, "reports/x")


def test_the_verdict_of_all_is_that_of_its_gates() -> None:
    with pytest.raises(ReportAltered, match=r"verdict: 'pass'\. From the gates follows: 'fail'"):
        require_consistent({**a_report(0.7, 0.5), "verdict": "pass"}, "It")


@pytest.mark.parametrize("key", ["gates", "verdict", "figure", "threshold", "direction", "n_rows"])
def test_what_is_missing_is_no_pass(key: str) -> None:
    report = copy.deepcopy(a_report(0.7))
    (report if key in report else report["gates"][0]).pop(key)
    with pytest.raises(ReportAltered, match="cannot be read"):
        require_consistent(report, "It")
    with pytest.raises(ReportAltered, match="no gates"):
        require_consistent({"gates": [], "verdict": "pass"}, "It")


def test_a_figure_just_beyond_a_small_threshold_reads_so() -> None:
    gate = judge("champion:brier", 0.00054, (0.0, 0.001), 0.0005, "at most", 1200).as_dict()
    assert describe(gate) == "champion:brier: fail; 0.00054, asked: at most 0.0005 (1,200 rows)"
