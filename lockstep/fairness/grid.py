"""A reduction to weighted classification that ends in one model: fairlearn's GridSearch.

A. Agarwal, A. Beygelzimer, M. Dudik, J. Langford and H. Wallach (2018), "A Reductions Approach to Fair Classification",
ICML, arXiv:1803.02453, section 3.4. Exponentiated gradient would end in a random mixture of models instead.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

from lockstep.errors import ModelError, ParameterError
from lockstep.fairness.groups import OTHER
from lockstep.fairness.methods import Constraint

Train = Callable[[int, npt.NDArray[np.int_], npt.NDArray[np.float64]], npt.NDArray[np.bool_]]

# From 1 on a multiplier turns the labels of whole groups; fairlearn's own default is 2.
_LIMIT = 1.0


def search(
    labels: npt.NDArray[np.bool_],
    groups: npt.NDArray[np.object_],
    constraint: Constraint,
    size: int,
    train: Train,
) -> int:
    """Train once a point of a grid of multipliers; half the error and half the gap between groups choose the best.

    Parameters
    ----------
    labels, groups
        Of the training rows, shape (n,). The rows of small groups together count with the largest: a multiplier of
        their own would widen the grid for little.
    size
        Points of the grid.
    train
        Called with the number of a training, from 0, and the labels and weights of the rows, shape (n,), that it is
        to learn; answers with the model's decisions about the same rows, shape (n,).

    Returns
    -------
    int
        Number of the best training.

    Raises
    ------
    ParameterError
        So many groups need a larger grid.
    ModelError
        Every point asked for one decision about all rows.
    """
    from fairlearn.reductions import DemographicParity, EqualizedOdds, GridSearch
    from pandas.errors import Pandas4Warning

    names, counts = np.unique(groups[groups != OTHER].astype(str), return_counts=True)
    n_groups = len(names)
    groups = np.where(groups == OTHER, names[counts.argmax()] if n_groups else OTHER, groups)
    dimensions = (n_groups - 1) * (1 if constraint == "demographic_parity" else 2)
    if dimensions < 1 or size < 2**dimensions:
        raise ParameterError(
            f"debias.method grid: {n_groups} groups make a grid of {dimensions} dimensions, which wants at least "
            f"{2**dimensions} points. Received: debias.grid_size {size}. Raise it, or name fewer or other sensitive "
            "features in debias.protect."
        )
    moment = DemographicParity() if constraint == "demographic_parity" else EqualizedOdds()
    found = GridSearch(_Oracle(train, count()), moment, grid_size=size, grid_limit=_LIMIT)
    with warnings.catch_warnings():
        # fairlearn grows a series in a way that a later pandas will refuse.
        warnings.simplefilter("ignore", Pandas4Warning)
        # The rows are known to `train`, so their numbers stand in for the features.
        found.fit(
            np.arange(len(labels)).reshape(-1, 1), labels.astype(int), sensitive_features=groups.astype(str)
        )
    losses = {
        predictor.number: found.objective_weight * error
        + found.constraint_weight * found.gammas_[point].max()
        for predictor, error, point in zip(
            found.predictors_, found.objectives_, found.gammas_.columns, strict=True
        )
        if isinstance(predictor, _Oracle)
    }
    if not losses:
        raise ModelError(
            "debias.method grid: every point of the grid asks for the same decision about all rows. "
            "Raise debias.grid_size, or choose another method."
        )
    return min(losses, key=lambda number: losses[number])


class _Oracle:
    """What fairlearn takes for an estimator."""

    def __init__(self, train: Train, numbers: Iterator[int]) -> None:
        self._train = train
        self._numbers = numbers

    def __deepcopy__(self, memo: dict[int, Any]) -> _Oracle:
        return _Oracle(self._train, self._numbers)

    def fit(self, rows: Any, labels: Any, sample_weight: Any) -> _Oracle:
        self.number = next(self._numbers)
        weights = np.asarray(sample_weight, dtype=np.float64)
        self._decisions = self._train(self.number, np.asarray(labels), weights).astype(int)
        return self

    def predict(self, rows: Any) -> npt.NDArray[np.int_]:
        return self._decisions
