"""Probabilities say how often: after resampling, of few rows, and of several classes."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from lockstep.models.calibration import fit_platt
from lockstep.models.scoring import probabilities

RNG = np.random.default_rng(7)


def test_many_rows_are_calibrated_as_by_logistic_regression() -> None:
    labels = (RNG.random(20_000) < 0.06).astype(int)
    logits = (2.0 * labels + RNG.normal(size=20_000))[:, None] + 1.5
    slope, intercepts = fit_platt(logits, labels)
    reference = LogisticRegression(C=np.inf, tol=1e-10).fit(logits, labels)
    assert slope == pytest.approx(reference.coef_[0, 0], abs=0.01)
    assert intercepts == pytest.approx(reference.intercept_, abs=0.03)


def test_a_few_rows_without_an_error_do_not_make_it_certain() -> None:
    labels = np.array([0] * 8 + [1] * 6)
    logits = np.where(labels, 4.0, -4.0)[:, None]
    slope, intercepts = fit_platt(logits, labels)
    found = probabilities(slope * logits + intercepts)[:, 0]
    np.testing.assert_allclose(found, np.where(labels, 7 / 8, 1 / 10), atol=1e-4)


def test_a_shift_between_several_classes_is_undone() -> None:
    labels = RNG.choice(3, 30_000, p=[0.7, 0.2, 0.1])
    logits = np.eye(3)[labels] * 2.0 + RNG.gumbel(size=(30_000, 3))
    shift = np.array([0.0, 1.5, -2.0])
    slope, intercepts = fit_platt(3.0 * logits + shift, labels)
    found = probabilities(slope * (3.0 * logits + shift) + intercepts)
    np.testing.assert_allclose(found.mean(axis=0), np.bincount(labels) / len(labels), atol=1e-3)
    assert slope < 1.0
