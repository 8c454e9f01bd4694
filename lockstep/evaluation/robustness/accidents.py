"""What happens to rows without anybody's will. Each grows with its strength from the same draws, so that curves do.

A perturbation takes raw columns of n rows, what is plausible, a strength and a generator of its own, and gives raw
columns; it changes no array that it was given.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lockstep.data.plausible import Plausible, Raw

Perturbed = dict[str, npt.NDArray[Any]]


def noise(table: Raw, plausible: Plausible, strength: float, rng: np.random.Generator) -> Perturbed:
    """Gaussian noise on the amounts, of `strength` standard deviations of each; whole numbers stay whole."""
    found = dict(table)
    for name, amount in plausible.amounts.items():
        values = table[name]
        moved = values + strength * amount.spread * rng.standard_normal(len(values))
        if amount.whole:
            moved = np.rint(moved)
        # A row beyond what training rows hold is drawn no nearer.
        moved = np.clip(moved, np.fmin(values, amount.low), np.fmax(values, amount.high))
        found[name] = np.where(amount.movable(values), moved, values)
    return found


def missing(table: Raw, plausible: Plausible, strength: float, rng: np.random.Generator) -> Perturbed:
    """Blank the share `strength` of the cells of every column that is not always the same."""
    found = dict(table)
    for name in (*plausible.amounts, *plausible.choices):
        values = table[name]
        blank: Any = None if values.dtype == object else np.nan
        found[name] = np.where(rng.random(len(values)) < strength, blank, values)
    return found


def swapped(table: Raw, plausible: Plausible, strength: float, rng: np.random.Generator) -> Perturbed:
    """Draw the share `strength` of the choices anew, as often each as among the training rows."""
    found = dict(table)
    for name, choice in plausible.choices.items():
        values = table[name]
        drawn = choice.values[rng.choice(len(choice.values), size=len(values), p=choice.shares)]
        found[name] = np.where(rng.random(len(values)) < strength, drawn, values)
    return found
