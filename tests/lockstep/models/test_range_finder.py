"""The range test proposes a rate that trains, below the one at which training bursts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lockstep.errors import ModelError
from lockstep.models.range_finder import HIGHEST, LOWEST, range_test


def descent(curvature: float) -> Callable[[float], float]:
    """Steps of gradient descent on a parabola: they diverge at rates above 2 / curvature."""
    weight = 1.0

    def step(rate: float) -> float:
        nonlocal weight
        loss = 0.5 * curvature * weight**2
        weight -= rate * curvature * weight
        return loss

    return step


@pytest.mark.parametrize("curvature", [20.0, 200.0, 2000.0])
def test_the_proposal_lies_below_the_burst(curvature: float) -> None:
    found = range_test(descent(curvature), 300)
    burst = 2 / curvature
    assert burst / 100 < found.proposal < burst
    # It ends soon after the loss burst, and not at the highest rate.
    assert burst < found.rates[-1] < 10 * burst
    assert found.rates[0] == LOWEST
    assert len(found.rates) == len(found.losses) < 300


def test_rates_grow_by_one_factor_to_the_highest() -> None:
    found = range_test(descent(0.01), 50)
    factors = [after / before for before, after in zip(found.rates, found.rates[1:], strict=False)]
    assert factors == pytest.approx([factors[0]] * 49)
    assert found.rates[-1] == pytest.approx(HIGHEST)


def test_a_loss_that_tells_nothing() -> None:
    with pytest.raises(ModelError, match="not finite before the first step"):
        range_test(lambda rate: float("nan"), 10)
    with pytest.raises(ModelError, match="never fell"):
        range_test(lambda rate: 1.0 + rate, 10)
    # What is not finite later ends the test.
    losses = iter([3.0, 2.0, 1.0, float("inf")])
    assert len(range_test(lambda rate: next(losses), 10).rates) == 3
