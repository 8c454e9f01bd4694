"""Calibrated probabilities, folded into the last layer so that the network that ships has them too."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def fit_platt(logits: Floats, labels: npt.NDArray[np.int_]) -> tuple[float, Floats]:
    """Slope and intercepts of the logistic curve from logits to labels, by maximum likelihood.

    Resampling shifts every logit; validation rows, which nothing resampled, tell by how much. The ranking of a
    binary classifier stays.

    Parameters
    ----------
    logits
        Of the validation rows, shape (n, 1), of the positive class, or (n, k), of each class.
    labels
        Number of each row's class, shape (n,).

    Returns
    -------
    slope, intercepts
        One slope for all classes, and an intercept for each column of `logits`.

    References
    ----------
    J. Platt (1999), "Probabilistic outputs for support vector machines", whose targets beside 0 and 1 keep the slope
    finite where a few rows are told apart without an error; for several classes C. Guo et al. (2017), "On Calibration
    of Modern Neural Networks", arXiv:1706.04599.
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    # One logit is that of the second class beside 0 for the first.
    scores = np.column_stack((np.zeros(len(logits)), logits)) if logits.shape[1] == 1 else logits
    n_classes = scores.shape[1]
    counts = np.bincount(labels, minlength=n_classes).astype(np.float64)
    targets = np.repeat(1.0 / (counts + n_classes), n_classes).reshape(n_classes, n_classes)
    np.fill_diagonal(targets, (counts + 1.0) / (counts + n_classes))
    targets = targets[labels]
    first = n_classes - logits.shape[1]

    def objective(parameters: Floats) -> tuple[float, Floats]:
        shift = np.concatenate((np.zeros(first), parameters[1:]))
        log_probability = log_softmax(parameters[0] * scores + shift, axis=1)
        error = np.exp(log_probability) - targets
        gradient = np.concatenate(([np.sum(error * scores)], error.sum(axis=0)[first:]))
        return -float(np.sum(targets * log_probability)) / len(labels), gradient / len(labels)

    start = np.concatenate(([1.0], np.zeros(logits.shape[1])))
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"gtol": 1e-9, "ftol": 1e-14})
    slope, intercepts = float(found.x[0]), found.x[1:]
    # A model that ranks worse than chance on validation must not be turned around.
    return (slope, intercepts) if slope > 0 else (1.0, np.zeros(logits.shape[1]))


def fold(model: Any, slope: float, intercepts: Floats) -> None:
    """Make `model` answer ``slope * logits + intercepts``."""
    for layer in model.layers:
        # Of each member of an ensemble, whose mean changes alike.
        if layer.name.endswith("logit") and layer.weights:
            kernel, bias = layer.get_weights()
            shifted = bias * np.float32(slope) + intercepts.astype(np.float32)
            layer.set_weights([kernel * np.float32(slope), shifted])
