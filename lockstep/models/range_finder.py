"""The learning-rate range test: train at an exponentially growing rate, and see where the loss is lowest.

Smith 2017, "Cyclical Learning Rates for Training Neural Networks", arXiv:1506.01186. The rate at which the smoothed
loss is lowest is already too high to train at; a tenth of it is the usual choice (Howard & Gugger 2020, "fastai: A
Layered API for Deep Learning", arXiv:2002.04688).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from lockstep.errors import ModelError

LOWEST, HIGHEST = 1e-6, 1.0

_SMOOTHING = 0.98
_BURST = 4.0
_BELOW_MINIMUM = 10.0


@dataclass(frozen=True)
class RangeTest:
    """What a range test saw.

    Attributes
    ----------
    rates
        Learning rate of each step, ascending.
    losses
        Smoothed loss before each step.
    proposal
        Learning rate to train at, of two digits.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    proposal: float


def range_test(step: Callable[[float], float], n_steps: int) -> RangeTest:
    """Raise the learning rate from `LOWEST` to `HIGHEST`, until the loss bursts.

    Parameters
    ----------
    step
        Takes one training step at a learning rate, on the next batch, and returns the loss before it.
    n_steps
        Steps to take at most.

    Raises
    ------
    ModelError
        The loss was not finite from the start, or never fell.
    """
    growth = (HIGHEST / LOWEST) ** (1 / max(n_steps - 1, 1))
    rates: list[float] = []
    losses: list[float] = []
    average = 0.0
    for i in range(n_steps):
        rate = LOWEST * growth**i
        loss = step(rate)
        if not math.isfinite(loss):
            break
        # An exponential average that starts at 0 is too small by this factor (Kingma & Ba 2015, Adam).
        average = _SMOOTHING * average + (1 - _SMOOTHING) * loss
        smooth = average / (1 - _SMOOTHING ** (i + 1))
        rates.append(rate)
        losses.append(smooth)
        if smooth > _BURST * min(losses):
            break
    if not losses:
        raise ModelError(
            "The loss is not finite before the first step. Check the features for extreme values."
        )
    lowest = min(range(len(losses)), key=losses.__getitem__)
    if lowest == 0:
        raise ModelError(
            f"The loss never fell at learning rates from {LOWEST:g} to {rates[-1]:g}: nothing can be proposed."
        )
    return RangeTest(tuple(rates), tuple(losses), float(f"{rates[lowest] / _BELOW_MINIMUM:.2g}"))
