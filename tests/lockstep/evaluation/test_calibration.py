"""The calibration error is 0 where frequencies are as promised, and else the distance."""

from __future__ import annotations

import numpy as np
import pytest

from lockstep.evaluation.calibration import expected_calibration_error


def test_probabilities_that_hold_have_none_and_a_shift_is_its_size() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random(200_000) * 0.2
    labels = rng.random(200_000) < probability
    assert expected_calibration_error(probability, labels) < 0.003
    assert expected_calibration_error(probability + 0.3, labels) == pytest.approx(0.3, abs=0.003)


def test_fewer_rows_than_bins() -> None:
    assert expected_calibration_error(np.array([0.75, 0.5]), np.array([True, False])) == pytest.approx(0.375)
