"""Differences between groups: with intervals, for all comparisons together, on groups that are large enough."""

from __future__ import annotations

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame, selection_rate, true_positive_rate

from lockstep.fairness.judging import (
    DIFFERENCES,
    Evidence,
    audit_outcomes,
    difference_interval,
    judge_groups,
    measure_groups,
    outcomes_of,
)

RNG = np.random.default_rng(5)
GROUPS = RNG.choice(["a", "b", "c", "few"], 4000, p=[0.5, 0.3, 0.19, 0.01]).astype(object)
CODES = RNG.choice(3, 4000, p=[0.5, 0.3, 0.2])
DECISIONS = np.where(RNG.random(4000) < 0.7, CODES, RNG.choice(3, 4000))
BINARY = outcomes_of((CODES > 0).astype(int), (DECISIONS > 0).astype(int), ("no", "yes"))
EVIDENCE = Evidence(200, 30, 300, 1, "bonferroni")
ALONE = EVIDENCE._replace(correction="none")


def test_rates_agree_with_metric_frame_and_lie_in_their_intervals() -> None:
    (outcome,) = BINARY
    audited = audit_outcomes(BINARY, GROUPS, EVIDENCE)
    rates = {"selection_rate": selection_rate, "true_positive_rate": true_positive_rate}
    frame = MetricFrame(metrics=rates, y_true=outcome.held, y_pred=outcome.chosen, sensitive_features=GROUPS)
    for bounds in audited["intervals"]:
        for rate in rates:
            expected = frame.by_group.loc[bounds["group"], rate]
            assert audited["groups"][bounds["group"]][rate] == pytest.approx(expected, abs=1e-12)
            assert bounds[rate][0] < expected < bounds[rate][1]
    gap = frame.by_group.drop("few")["selection_rate"].agg(np.ptp)
    measured = audited["evidence"]["demographic_parity_difference"]
    assert (measured["figure"], measured["left_out"]) == (pytest.approx(gap, abs=1e-12), ("few",))
    # One number for one thing: none beside it counts the group that is too small.
    assert set(audited) == {"groups", "intervals", "evidence"}


def test_an_interval_for_all_groups_together_is_wider() -> None:
    together, alone = (audit_outcomes(BINARY, GROUPS, e)["intervals"] for e in (EVIDENCE, ALONE))
    for wide, narrow in zip(together, alone, strict=True):
        assert wide["selection_rate"][0] < narrow["selection_rate"][0]
        assert wide["selection_rate"][1] > narrow["selection_rate"][1]
    for metric, comparisons in zip(DIFFERENCES, (3, 6), strict=True):
        wide, narrow = (measure_groups(metric, BINARY, GROUPS, e) for e in (EVIDENCE, ALONE))
        assert (wide.comparisons, narrow.comparisons) == (comparisons, 1)
        assert wide.interval[0] <= narrow.interval[0]
        assert wide.interval[1] > narrow.interval[1]


def test_the_interval_of_two_proportions_is_that_of_the_normal_law() -> None:
    groups = [
        {
            "n_rows": n,
            "n_positive": 0,
            "selection_rate": p,
            "true_positive_rate": 0.0,
            "false_positive_rate": p,
        }
        for n, p in ((9000, 0.3), (8000, 0.2))
    ]
    error = np.sqrt(0.3 * 0.7 / 9000 + 0.2 * 0.8 / 8000)
    for comparisons, z in ((1, 1.959964), (10, 2.807034)):
        low, high = difference_interval("demographic_parity_difference", groups, 20_000, 1, comparisons)
        assert (low, high) == pytest.approx((0.1 - z * error, 0.1 + z * error), abs=0.12 * error)


def test_small_groups_are_left_out_and_of_one_group_there_is_no_evidence() -> None:
    measured = measure_groups("demographic_parity_difference", BINARY, GROUPS, EVIDENCE)
    assert measured.left_out == ("few",)
    assert measured.n_rows == np.sum(GROUPS != "few")
    assert judge_groups("g", 1.0, measured).verdict == "pass"
    assert judge_groups("g", 0.0, measured).verdict == "fail"
    nobody = measure_groups("demographic_parity_difference", BINARY, GROUPS, EVIDENCE._replace(min_rows=1500))
    assert judge_groups("g", 0.0, nobody).verdict == "insufficient evidence"


def test_of_several_classes_the_widest_difference_counts() -> None:
    outcomes = outcomes_of(CODES, DECISIONS, ("x", "y", "z"))
    audited = audit_outcomes(outcomes, GROUPS, EVIDENCE)
    large = GROUPS != "few"
    gaps = [np.ptp([np.mean(DECISIONS[g == GROUPS] == c) for g in "abc"]) for c in range(3)]
    measured = audited["evidence"]["demographic_parity_difference"]
    assert measured["figure"] == pytest.approx(max(gaps), abs=1e-12)
    assert measured["n_rows"] == large.sum()
    assert measured["comparisons"] == 9
    right = CODES == DECISIONS
    assert audited["groups"]["a"]["accuracy"] == pytest.approx(right[GROUPS == "a"].mean(), abs=1e-12)
