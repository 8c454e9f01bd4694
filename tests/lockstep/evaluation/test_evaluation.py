"""Figures agree with scikit-learn; intervals cover; gates never pass by default."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from lockstep import progress
from lockstep.evaluation.bootstrap import intervals, percentiles, ranking_draws
from lockstep.evaluation.gates import judge, no_evidence, verdict
from lockstep.evaluation.metrics import curves, metrics, ranking
from lockstep.evaluation.thresholds import ParityLimit, choose_threshold
from lockstep.fairness.judging import DIFFERENCES, difference_interval
from lockstep.progress import Progress

RNG = np.random.default_rng(0)
LABELS = RNG.random(4000) < 0.1
CODES = LABELS.astype(int)
# Rounded, so that many probabilities are equal.
PROBABILITY = np.round(np.clip(RNG.normal(0.2 + 0.3 * LABELS, 0.15), 0, 1), 2)


def test_intervals_hold_their_figure_and_are_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = metrics(CODES, PROBABILITY, 0.4)
    found = intervals(CODES, PROBABILITY, 0.4, 300, 1)
    assert found.overall.keys() == figures.keys() - {"threshold"}
    assert found.by_class == {}
    for name, (low, high) in found.overall.items():
        assert low < figures[name] < high, name
    steps: list[Progress] = []
    monkeypatch.setattr(progress, "_sink", steps.append)
    assert found == intervals(CODES, PROBABILITY, 0.4, 300, 1)
    assert (len(steps), steps[-1].done, steps[-1].total) == (300, 300, 300)


def test_models_are_compared_on_the_same_draws() -> None:
    several = np.column_stack([1 - PROBABILITY, PROBABILITY / 2, PROBABILITY / 2])
    for codes, probability in ((CODES, PROBABILITY), (CODES + (RNG.random(4000) < 0.3), several)):
        found = ranking_draws(codes, {"a": probability, "b": probability / 2}, 100, 1)
        bounds = intervals(codes, probability, None, 100, 1).overall
        for name, figure in ranking(codes, probability).items():
            assert found["a"][name].shape == (101,)
            assert found["a"][name][0] == pytest.approx(figure)
            if name != "roc_auc":
                assert percentiles(found["a"][name][1:]) == pytest.approx(bounds[name])
        for name in ("roc_auc", "average_precision"):
            # They rank alike.
            np.testing.assert_array_equal(found["a"][name], found["b"][name])
        assert (found["a"]["brier"] != found["b"]["brier"]).all()


def test_the_area_under_the_roc_curve_of_a_draw_is_that_of_its_rows() -> None:
    coarse = PROBABILITY.round(1)
    drawn = ranking_draws(CODES, {"a": coarse}, 3, 7)["a"]["roc_auc"]
    rng = np.random.default_rng(7)
    for area in drawn[1:]:
        rows = np.concatenate(
            [(of := np.flatnonzero(c == CODES))[rng.integers(0, len(of), len(of))] for c in (0, 1)]
        )
        assert area == pytest.approx(roc_auc_score(CODES[rows], coarse[rows]))


def test_metrics_are_those_of_their_definition() -> None:
    figures = metrics(CODES, PROBABILITY, 0.4)
    decisions = PROBABILITY >= 0.4
    assert figures["error_rate"] == pytest.approx(np.mean((PROBABILITY >= 0.5) != LABELS))
    assert figures["accuracy"] + figures["error_rate"] == pytest.approx(1)
    assert figures["precision"] == pytest.approx((decisions & LABELS).sum() / decisions.sum())
    assert figures["recall"] == pytest.approx((decisions & LABELS).sum() / LABELS.sum())
    assert figures["brier"] == pytest.approx(np.mean((PROBABILITY - LABELS) ** 2))


@pytest.mark.parametrize("purpose", ["f1", "accuracy", "cost"])
def test_no_other_threshold_serves_better(purpose: str) -> None:
    def value(threshold: float) -> float:
        decisions = threshold <= PROBABILITY
        misses, alarms = (LABELS & ~decisions).sum(), (decisions & ~LABELS).sum()
        return {
            "f1": f1_score(LABELS, decisions),
            "accuracy": -(misses + alarms),
            "cost": -(alarms + 5 * misses),
        }[purpose]

    chosen = choose_threshold(LABELS, PROBABILITY, purpose, 5.0)
    assert value(chosen) >= max(value(t) for t in np.linspace(0.005, 0.995, 100)) - 1e-12


def test_choosing_nobody_is_an_answer_too() -> None:
    labels, probability = np.array([False, False, True]), np.array([0.9, 0.5, 0.1])
    for purpose in ("accuracy", "cost"):
        assert not (probability >= choose_threshold(labels, probability, purpose, 1.0)).any()
    assert choose_threshold(np.array([True, True]), np.array([0.3, 0.2]), "accuracy", 1.0) <= 0.2


@pytest.mark.parametrize("largest", [0.0, 0.02, 0.05, 1.0])
def test_under_a_parity_limit_no_other_allowed_threshold_serves_better(largest: float) -> None:
    groups = np.where(np.arange(4000) % 5 == 0, "a", "b").astype(object)
    groups[::7] = None
    probability = np.where(groups == "a", PROBABILITY * 0.8, PROBABILITY)

    def gap(threshold: float) -> float:
        rates = [np.mean(probability[groups == name] >= threshold) for name in ("a", "b")]
        return abs(rates[0] - rates[1])

    chosen = choose_threshold(LABELS, probability, "f1", 1.0, [ParityLimit(groups, largest)])
    assert gap(chosen) <= largest
    allowed = [t for t in np.linspace(0.0, 1.01, 203) if gap(t) <= largest]
    best = max(f1_score(LABELS, probability >= t) for t in allowed)
    assert f1_score(LABELS, probability >= chosen) >= best - 1e-12
    free = choose_threshold(LABELS, probability, "f1", 1.0)
    assert (chosen == free) == (gap(free) <= largest)


def test_curves_run_from_corner_to_corner() -> None:
    drawn = curves(CODES, PROBABILITY, 50)
    assert drawn["roc"][0] == {"false_positive_rate": 0.0, "true_positive_rate": 0.0}
    assert drawn["roc"][-1] == {"false_positive_rate": 1.0, "true_positive_rate": 1.0}
    assert drawn["pr"][-1]["recall"] == 1.0
    assert len(drawn["pr"]) <= 51


def _group(rows: int, positives: int, selected: float, hit: float, alarmed: float) -> dict[str, float]:
    return {
        "n_rows": rows,
        "n_positive": positives,
        "selection_rate": selected,
        "true_positive_rate": hit,
        "false_positive_rate": alarmed,
    }


def test_a_gap_of_nothing_lies_in_its_interval() -> None:
    group = _group(500, 50, 0.1, 0.6, 0.05)
    for low, high in (difference_interval(metric, [group, group, group], 500, 1) for metric in DIFFERENCES):
        assert low == 0.0 < high


def test_group_differences_hold_the_figure() -> None:
    groups = [
        _group(4000, 400, 0.115, 0.7, 0.05),
        _group(3000, 200, 0.07, 0.5, 0.04),
    ]
    low, high = difference_interval("equalized_odds_difference", groups, 500, 1)
    assert low < 0.2 < high


@pytest.mark.parametrize(
    ("figure", "threshold", "direction", "expected"),
    [
        (0.9, 0.9, "at least", "pass"),
        (0.89, 0.9, "at least", "fail"),
        (0.1, 0.1, "at most", "pass"),
        (0.11, 0.1, "at most", "fail"),
        (float("nan"), 0.1, "at most", "fail"),
        (float("nan"), 0.1, "at least", "fail"),
    ],
)
def test_a_gate_compares_and_an_undefined_figure_fails(
    figure: float, threshold: float, direction: str, expected: str
) -> None:
    assert judge("g", figure, (0, 1), threshold, direction, 10).verdict == expected


def test_the_worst_gate_decides() -> None:
    passed = judge("a", 1.0, (1, 1), 0.5, "at least", 10)
    failed = judge("b", 0.0, (0, 0), 0.5, "at least", 10)
    unknown = no_evidence("c", 0.1, 3, ["small"])
    assert verdict([passed]) == "pass"
    assert verdict([passed, unknown]) == "insufficient evidence"
    assert verdict([passed, unknown, failed]) == "fail"
