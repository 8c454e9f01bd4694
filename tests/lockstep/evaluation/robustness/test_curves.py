"""Figures of perturbed rows are those of scikit-learn, and a loss is what the model was better by than chance."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from lockstep.evaluation.robustness.curves import Baseline, areas

RNG = np.random.default_rng(3)
CODES = (RNG.random(400) < 0.3).astype(np.int64)
# Rounded, so that rows of equal score are among them.
SCORE = np.round(np.clip(CODES * 0.3 + RNG.random(400) * 0.7, 0, 1), 2)
DECISIONS = (SCORE >= 0.6).astype(np.int64)
BASELINE = Baseline(CODES, SCORE, DECISIONS, samples=200, seed=1)


def test_areas_of_weighted_rows_are_those_of_scikit_learn() -> None:
    weights = RNG.integers(0, 4, size=(400, 3)).astype(float)
    found = areas(CODES, SCORE, weights)
    for i, of_draw in enumerate(weights.T):
        expected = average_precision_score(CODES, SCORE, sample_weight=of_draw)
        assert found.average_precision[i] == pytest.approx(expected, abs=1e-12)
        assert found.roc_auc[i] == pytest.approx(
            roc_auc_score(CODES, SCORE, sample_weight=of_draw), abs=1e-12
        )


def test_areas_of_several_classes_are_the_mean_over_those_that_the_rows_hold() -> None:
    codes = RNG.integers(3, size=300)
    probability = RNG.dirichlet(np.ones(4), size=300)
    probability[np.arange(300), codes] += 0.2
    found = areas(codes, probability, np.ones((300, 1)))
    held = [(codes == i, probability[:, i]) for i in range(3)]
    assert found.average_precision[0] == pytest.approx(
        np.mean([average_precision_score(*one) for one in held])
    )
    assert found.roc_auc[0] == pytest.approx(np.mean([roc_auc_score(*one) for one in held]))


def test_equal_rows_lose_nothing_and_a_random_order_everything() -> None:
    same = BASELINE.beside(SCORE, DECISIONS)
    assert (same["lost"], same["lost_interval"], same["changed_decisions"]) == (0.0, (0.0, 0.0), 0.0)
    blind = BASELINE.beside(np.full(400, 0.7), np.ones(400, dtype=np.int64))
    assert blind["average_precision"] == pytest.approx(CODES.mean())
    assert blind["lost"] == pytest.approx(1.0)
    assert blind["lost_interval"] == (pytest.approx(1.0), pytest.approx(1.0))
    assert blind["changed_decisions"] == pytest.approx(np.mean(SCORE < 0.6))
    assert BASELINE.beside(1 - SCORE, DECISIONS, "roc_auc")["lost"] == pytest.approx(2.0)


def test_intervals_hold_the_figure_and_are_paired() -> None:
    moved = SCORE + RNG.normal(0, 0.05, 400)
    noisy = BASELINE.beside(moved, (moved >= 0.6).astype(np.int64))
    for name in ("average_precision", "roc_auc", "lost", "changed_decisions"):
        low, high = noisy[f"{name}_interval"]
        assert low <= noisy[name] <= high
    figures = BASELINE.figures()
    low, high = figures["average_precision_interval"]
    advantage = figures["average_precision"] - CODES.mean()
    # That of the difference is narrower than that of either figure.
    assert np.ptp(noisy["lost_interval"]) * advantage < high - low


def test_another_mix_of_groups_is_a_weighting() -> None:
    mask = RNG.random(400) < 0.4
    found = BASELINE.reweighed(mask, 2.0)
    repeated = np.concatenate([np.arange(400), np.flatnonzero(mask)])
    expected = roc_auc_score(CODES[repeated], SCORE[repeated])
    assert found["roc_auc"] == pytest.approx(expected, abs=1e-12)
    before = roc_auc_score(CODES, SCORE)
    assert found["lost"] == pytest.approx((before - expected) / (before - 0.5), abs=1e-12)
    assert "changed_decisions" not in found


def test_a_model_no_better_than_chance_has_nothing_to_lose() -> None:
    found = Baseline(CODES, np.full(400, 0.5), DECISIONS, 100, 1).beside(SCORE, DECISIONS)
    assert (found["lost"], found["lost_interval"]) == (None, None)
