"""Training with differential privacy: what it takes, which rows each step sees, and what it promises.

M. Abadi et al. (2016), "Deep Learning with Differential Privacy", arXiv:1607.00133.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Privacy:
    """How much each step hides.

    Attributes
    ----------
    clip_norm
        Largest norm of one row's gradient, of all weights together.
    noise_multiplier
        Standard deviation of the noise on the sum of a step's gradients, in units of `clip_norm`.
    secret
        What noise and sampling follow from, 0 to 2**128. Whoever knows it can take the noise away.
    """

    clip_norm: float
    noise_multiplier: float
    secret: int


def sampling_rate(n_rows: int, batch_size: int) -> float:
    """Probability that a step sees a row."""
    return min(batch_size / n_rows, 1.0)


def poisson_batches(
    n_rows: int, batch_size: int, n_steps: int, seed: tuple[int, ...]
) -> list[npt.NDArray[np.int64]]:
    """Rows of each of `n_steps` steps: each row with the probability of `sampling_rate`, by itself.

    A batch has `batch_size` rows in the mean, and may have none.
    """
    rng, rate = np.random.default_rng(seed), sampling_rate(n_rows, batch_size)
    # So many rows, any of them alike, are the same as a draw for each row.
    sizes = rng.binomial(n_rows, rate, n_steps)
    return [rng.choice(n_rows, size, replace=False) for size in sizes]


def epsilon(noise_multiplier: float, rate: float, steps: int, delta: float) -> float:
    """Least epsilon that so many steps keep to with `delta`, rounded up to four digits behind the point.

    Of two tables that differ by one row more, each outcome is at most ``exp(epsilon)`` times as likely with one as with
    the other, but for `delta`. By the privacy loss distribution (dp-accounting).

    Parameters
    ----------
    noise_multiplier
        Of `Privacy`.
    rate
        Of `sampling_rate`.
    steps
        Of the whole training.
    """
    import dp_accounting
    from dp_accounting.pld import PLDAccountant

    accountant = PLDAccountant(dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE)
    step = dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(noise_multiplier))
    accountant.compose(step, steps)
    return math.ceil(accountant.get_epsilon(delta) * 1e4) / 1e4
