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
    slope, intercepts, _ = fit_platt(logits, labels)
    reference = LogisticRegression(C=np.inf, tol=1e-10).fit(logits, labels)
    assert slope == pytest.approx(reference.coef_[0, 0], abs=0.01)
    assert intercepts == pytest.approx(reference.intercept_, abs=0.03)


def test_a_few_rows_without_an_error_do_not_make_it_certain() -> None:
    labels = np.array([0] * 8 + [1] * 6)
    logits = np.where(labels, 4.0, -4.0)[:, None]
    slope, intercepts, _ = fit_platt(logits, labels)
    found = probabilities(slope * logits + intercepts)[:, 0]
    np.testing.assert_allclose(found, np.where(labels, 7 / 8, 1 / 10), atol=1e-4)


def test_a_shift_between_several_classes_is_undone() -> None:
    labels = RNG.choice(3, 30_000, p=[0.7, 0.2, 0.1])
    logits = np.eye(3)[labels] * 2.0 + RNG.gumbel(size=(30_000, 3))
    shift = np.array([0.0, 1.5, -2.0])
    slope, intercepts, _ = fit_platt(3.0 * logits + shift, labels)
    found = probabilities(slope * (3.0 * logits + shift) + intercepts)
    np.testing.assert_allclose(found.mean(axis=0), np.bincount(labels) / len(labels), atol=1e-3)
    assert slope < 1.0


def rows(n_rows: int, seed: int, rate: float = 0.06) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a calibrated network, and labels."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(np.log(rate / (1 - rate)), 1.5, n_rows)
    return logits[:, None], (rng.random(n_rows) < probabilities(logits[:, None])[:, 0]).astype(int)


def test_training_rows_tell_how_common_the_classes_are_and_validation_rows_how_sure_to_be() -> None:
    taught, known = rows(40_000, 1)
    by_heart = taught + 0.5 * (known[:, None] - probabilities(taught))
    sure, far, near = (1.1 * by_heart + 0.2, known), [], []
    for seed in range(2, 12):
        logits, labels = rows(2_000, seed)
        alone, together = (fit_platt(1.1 * logits + 0.2, labels, of) for of in (None, sure))
        assert together.of_all
        assert not alone.of_all
        assert together.slope == alone.slope
        unseen = 1.1 * rows(100_000, 99)[0] + 0.2
        wanted = probabilities(rows(100_000, 99)[0]).mean()
        for found, errors in ((alone, far), (together, near)):
            answers = probabilities(found.slope * unseen + found.intercepts)
            errors.append(abs(answers.mean() - wanted))
    assert np.mean(near) < 0.6 * np.mean(far)


def test_training_rows_that_validation_rows_contradict_are_not_heard() -> None:
    logits, labels = rows(4_000, 3)
    taught, known = rows(40_000, 4)
    drifted = (known == 1) | (np.arange(40_000) % 2 == 0)
    alone, beside = (fit_platt(logits, labels, of) for of in (None, (taught[drifted], known[drifted])))
    assert not beside.of_all
    assert beside.intercepts == alone.intercepts


def test_training_rows_of_several_classes() -> None:
    rng = np.random.default_rng(5)

    def drawn(n_rows: int) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.choice(3, n_rows, p=[0.7, 0.2, 0.1])
        return np.eye(3)[labels] * 2.0 + rng.gumbel(size=(n_rows, 3)), labels

    shift = np.array([0.0, 1.5, -2.0])
    (logits, labels), (taught, known) = drawn(300), drawn(30_000)
    found = fit_platt(logits + shift, labels, (taught + shift, known))
    answers = probabilities(found.slope * (drawn(30_000)[0] + shift) + found.intercepts)
    np.testing.assert_allclose(answers.mean(axis=0), [0.7, 0.2, 0.1], atol=0.007)
