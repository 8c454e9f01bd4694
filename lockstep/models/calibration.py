"""Calibrated probabilities, folded into the last layer so that the network that ships has them too."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def fit_platt(logits: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and intercept of the logistic curve from logits to labels, by maximum likelihood.

    Resampling shifts every logit; validation rows, which nothing resampled, tell by how much. The ranking stays.

    Parameters
    ----------
    logits, labels
        Of the validation rows, shape (n,).

    References
    ----------
    J. Platt (1999), "Probabilistic outputs for support vector machines".
    """
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=np.inf).fit(logits[:, None], labels)
    slope, intercept = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    # A model that ranks worse than chance on validation must not be turned around.
    return (slope, intercept) if slope > 0 else (1.0, 0.0)


def fold(model: Any, slope: float, intercept: float) -> None:
    """Make the last layer of `model` answer ``slope * logit + intercept``."""
    layer = model.get_layer("logit")
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel * np.float32(slope), bias * np.float32(slope) + np.float32(intercept)])
