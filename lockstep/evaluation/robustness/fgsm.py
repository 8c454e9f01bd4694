"""Fast gradient sign method: one step of every amount in the direction in which the loss grows.

I. Goodfellow, J. Shlens & C. Szegedy (2015), "Explaining and Harnessing Adversarial Examples", arXiv:1412.6572.
"""

from __future__ import annotations

import numpy as np

from lockstep.evaluation.robustness.surface import Floats, Surface


def fgsm(surface: Surface, strength: float) -> Floats:
    """Amounts of rows moved by `strength` spreads; shape (n, amounts)."""
    _, slope = surface.slope(surface.start)
    moved = surface.start + strength * surface.reach * np.sign(slope)
    return surface.settled(surface.confined(moved, strength))
