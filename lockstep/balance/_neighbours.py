"""Nearest neighbours whose cost is bounded, for imbalanced-learn's samplers."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.neighbors import NearestNeighbors

from lockstep.errors import DataError

LIMIT = 20_000
"""Rows among which neighbours are looked for, at most."""


class SubsetNeighbours(NearestNeighbors):
    """Nearest neighbours among a seeded subset of the rows, where there are more than `LIMIT`.

    Parameters
    ----------
    n_neighbors
        How many, the row itself included where the sampler says so.
    seed
        Of the subset.
    """

    def __init__(self, n_neighbors: int = 5, *, seed: int = 0, n_jobs: int | None = None) -> None:
        super().__init__(n_neighbors=n_neighbors, n_jobs=n_jobs)
        self.seed = seed

    def fit(self, X: Any, y: Any = None) -> Self:
        n_rows = X.shape[0]
        self.subset_ = np.arange(n_rows)
        if n_rows > LIMIT:
            self.subset_ = np.sort(np.random.default_rng(self.seed).choice(n_rows, LIMIT, replace=False))
        return super().fit(X[self.subset_])

    def kneighbors(self, X: Any = None, n_neighbors: int | None = None, return_distance: bool = True) -> Any:
        distances, found = super().kneighbors(X, n_neighbors)
        found = self.subset_[found]
        return (distances, found) if return_distance else found


def neighbours(n_rows: int, wanted: int, method: str) -> int:
    """`wanted` neighbours, or as many as a class of `n_rows` has; raises DataError where there are none."""
    if n_rows < 2:
        raise DataError(
            f"resample.method {method} needs two rows of a class to make a third between them; a class has "
            f"{n_rows:,}. Choose over, or leave the class out."
        )
    return min(wanted, n_rows - 1)
