"""A number as the mode of its column that it belongs to, and its place within.

Mode-specific normalisation of Xu et al. 2019, arXiv:1907.00503, section 4.2: a variational mixture of Gaussians tells
the modes, and a number is where it lies within four standard deviations of one that is likely to have brought it.
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_MOST_ROWS = 10_000
_LEAST_WEIGHT = 0.005
_SPREAD = 4.0


class Modes:
    """Fitted on numbers, shape (n,).

    Parameters
    ----------
    most
        Modes, at most.
    seed
        Of the mixture's start.
    """

    def __init__(self, numbers: Floats, most: int, seed: int) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import BayesianGaussianMixture

        rng = np.random.default_rng(seed)
        sample = rng.permutation(numbers)[:_MOST_ROWS, None]
        self._mixture = BayesianGaussianMixture(
            n_components=min(most, len(np.unique(sample))),
            weight_concentration_prior=1e-3,
            random_state=seed,
        )
        with warnings.catch_warnings():
            # A mixture that is nearly done describes the modes well enough.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._mixture.fit(sample)
        self._kept = np.flatnonzero(self._mixture.weights_ > _LEAST_WEIGHT)
        self.count = len(self._kept)
        self._means = self._mixture.means_[self._kept, 0]
        self._widths = _SPREAD * np.sqrt(self._mixture.covariances_[self._kept, 0, 0])

    def encode(self, numbers: Floats, rng: np.random.Generator) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Places in [-1, 1] and modes, each of shape (n,); a mode is drawn by how likely it brought the number."""
        shares = self._mixture.predict_proba(numbers[:, None])[:, self._kept]
        shares = np.cumsum(shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-12), axis=1)
        modes = (shares < rng.random((len(numbers), 1))).sum(axis=1).clip(0, self.count - 1)
        return np.clip((numbers - self._means[modes]) / self._widths[modes], -1.0, 1.0), modes

    def decode(self, places: Floats, modes: npt.NDArray[np.int64]) -> Floats:
        """Inverse of `encode`."""
        return np.asarray(places * self._widths[modes] + self._means[modes])
