"""A learning curve tells a gain from chance, by other networks and by other rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from lockstep.evaluation.bootstrap import ranking_draws
from lockstep.evaluation.learning import HELPS, NO_GAIN, learning_curve_of, sentence

RNG = np.random.default_rng(6)
CODES = (RNG.random(600) < 0.3).astype(np.int64)


def networks(signals: tuple[float, ...], apart: float) -> list[list[dict[str, Any]]]:
    """Three networks a share that know so much of the label, and differ by so much."""
    found = []
    for i, signal in enumerate(signals):
        scores = {str(n): (signal + RNG.normal(0, apart)) * CODES + RNG.normal(size=600) for n in range(3)}
        draws = ranking_draws(CODES, scores, 200, 1)
        found.append(
            [
                {
                    "n_train": 100 * 2**i,
                    "n_validation": 600,
                    "average_precision": d["average_precision"].tolist(),
                }
                for d in draws.values()
            ]
        )
    return found


def test_a_curve_that_rises_says_that_more_rows_would_help() -> None:
    found = learning_curve_of(networks((0.5, 1.0, 2.0), 0.0))
    assert [point["n_train"] for point in found["points"]] == [100, 200, 400]
    figures = [point["average_precision"] for point in found["points"]]
    assert figures == sorted(figures)
    for point in found["points"]:
        low, high = point["interval"]
        assert low < point["average_precision"] < high
    low, high = found["last_gain"]["interval"]
    assert 0.0 < low < found["last_gain"]["average_precision"] < high
    assert found["verdict"] == HELPS
    assert "From 200 to 400 training rows" in sentence(found)
    assert "more rows like these would help" in sentence(found)


def test_a_flat_curve_says_how_much_more_rows_could_help_at_most() -> None:
    found = learning_curve_of(networks((1.0, 1.5, 1.5), 0.0))
    assert found["verdict"] == NO_GAIN
    assert f"hardly one above {found['last_gain']['interval'][1]:.4f}" in sentence(found)


def test_networks_that_differ_widen_the_interval() -> None:
    def width(apart: float) -> float:
        low, high = learning_curve_of(networks((1.0, 1.0), apart))["points"][0]["interval"]
        return float(high - low)

    assert width(1.5) > 1.5 * width(0.0)
