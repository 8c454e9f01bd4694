"""Projected gradient descent on the amounts: small steps from a random start, each brought back within reach.

A. Madry et al. (2018), "Towards Deep Learning Models Resistant to Adversarial Attacks", arXiv:1706.06083.
"""

from __future__ import annotations

import numpy as np

from lockstep.evaluation.robustness.surface import Floats, Surface

STEPS = 10
_STRIDE = 2.5
"""Steps together go so many times as far as an amount may: from one end of its reach to the other, and about."""


def pgd(surface: Surface, strength: float, rng: np.random.Generator) -> Floats:
    """Amounts of rows within `strength` spreads of where they were; shape (n, amounts).

    Of each row the worst that was met for the network, the row itself included. The slope is that at whole numbers
    where they belong, and the steps sum up between them.
    """
    worst, largest = surface.start, surface.loss(surface.start)
    stride = _STRIDE / STEPS * strength * surface.reach
    drawn = rng.uniform(-1.0, 1.0, size=surface.start.shape)
    values = surface.confined(surface.start + strength * surface.reach * drawn, strength)
    for _ in range(STEPS + 1):
        met = surface.settled(values)
        loss, slope = surface.slope(met)
        worse = loss > largest
        worst = np.where(worse[:, None], met, worst)
        largest = np.maximum(loss, largest)
        values = surface.confined(values + stride * np.sign(slope), strength)
    return worst
