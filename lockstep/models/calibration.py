"""Calibrated probabilities, folded into the last layer so that the network that ships has them too."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int_]

_CONTRADICTED = 1e-3
"""Chance, at most, that rows of one population are said to contradict each other."""


class Platt(NamedTuple):
    """A logistic curve from logits to labels.

    Attributes
    ----------
    slope
        One for all classes.
    intercepts
        One for each column of the logits.
    of_all
        Whether the intercepts are those of training and validation rows together, not of validation rows alone.
    """

    slope: float
    intercepts: Floats
    of_all: bool


def fit_platt(logits: Floats, labels: Codes, taught: tuple[Floats, Codes] | None = None) -> Platt:
    """Fit the logistic curve from logits to labels, by maximum likelihood.

    Training and resampling shift and stretch the logits; rows that the network did not learn from tell by how much. The
    ranking of a binary classifier stays.

    Parameters
    ----------
    logits
        Of the validation rows, shape (n, 1), of the positive class, or (n, k), of each class.
    labels
        Number of each row's class, shape (n,).
    taught
        The same of the training rows, where nothing changed how common their classes are. A network is surer of them
        than of others, so they say nothing of the slope; but they are many, and with the validation rows they tell the
        intercepts, that is how common the classes are, several times as closely. They are not heard where validation
        rows contradict them, or where one of their logits is not finite.

    References
    ----------
    J. Platt (1999), "Probabilistic outputs for support vector machines", whose targets beside 0 and 1 keep the slope
    finite where a few rows are told apart without an error; for several classes C. Guo et al. (2017), "On Calibration
    of Modern Neural Networks", arXiv:1706.04599. docs/adr/022 has what the training rows are worth.
    """
    from scipy.stats import chi2

    unseen = _Likelihood(logits, labels)
    alone = unseen.fit(None)
    # A model that ranks worse than chance on validation must not be turned around.
    if alone.slope <= 0:
        return Platt(1.0, np.zeros(logits.shape[1]), False)
    if taught is None or not np.isfinite(taught[0]).all():
        return alone
    every = _Likelihood(*(np.concatenate(parts) for parts in zip((logits, labels), taught, strict=True)))
    together = every.fit(alone.slope)
    contradiction = 2.0 * (unseen.cost(together) - unseen.cost(alone))
    return together if contradiction < chi2.isf(_CONTRADICTED, unseen.n_classes - 1) else alone


class _Likelihood:
    """Of the curve, by some rows."""

    def __init__(self, logits: Floats, labels: Codes) -> None:
        # One logit is that of the second class beside 0 for the first.
        self._scores = np.column_stack((np.zeros(len(logits)), logits)) if logits.shape[1] == 1 else logits
        self.n_classes = self._scores.shape[1]
        self._first = self.n_classes - logits.shape[1]
        counts = np.bincount(labels, minlength=self.n_classes).astype(np.float64)
        targets = np.tile(1.0 / (counts + self.n_classes), (self.n_classes, 1)).T
        np.fill_diagonal(targets, (counts + 1.0) / (counts + self.n_classes))
        self._targets = targets[labels]

    def cost(self, platt: Platt) -> float:
        """Negative log-likelihood."""
        return self._cost(platt.slope, platt.intercepts)[0] * len(self._targets)

    def fit(self, slope: float | None) -> Platt:
        """The likeliest curve, or the likeliest of that `slope`."""
        from scipy.optimize import minimize

        def objective(free: Floats) -> tuple[float, Floats]:
            if slope is None:
                return self._cost(free[0], free[1:])
            cost, gradient = self._cost(slope, free)
            return cost, gradient[1:]

        intercepts = np.zeros(self.n_classes - self._first)
        start = intercepts if slope is not None else np.concatenate(([1.0], intercepts))
        options = {"gtol": 1e-9, "ftol": 1e-14}
        found = minimize(objective, start, jac=True, method="L-BFGS-B", options=options).x
        if slope is not None:
            return Platt(slope, found, True)
        return Platt(float(found[0]), found[1:], False)

    def _cost(self, slope: float, intercepts: Floats) -> tuple[float, Floats]:
        """Mean negative log-likelihood, and its gradient by slope and intercepts."""
        from scipy.special import log_softmax

        shift = np.concatenate((np.zeros(self._first), intercepts))
        log_probability = log_softmax(slope * self._scores + shift, axis=1)
        error = np.exp(log_probability) - self._targets
        gradient = np.concatenate(([np.sum(error * self._scores)], error.sum(axis=0)[self._first :]))
        n_rows = len(self._targets)
        return -float(np.sum(self._targets * log_probability)) / n_rows, gradient / n_rows


def fold(model: Any, platt: Platt) -> None:
    """Make `model` answer ``slope * logits + intercepts``."""
    slope, intercepts, _ = platt
    for layer in model.layers:
        # Of each member of an ensemble, whose mean changes alike.
        if layer.name.endswith("logit") and layer.weights:
            kernel, bias = layer.get_weights()
            shifted = bias * np.float32(slope) + intercepts.astype(np.float32)
            layer.set_weights([kernel * np.float32(slope), shifted])
