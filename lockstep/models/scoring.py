"""What a Keras network answers, and how good that is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from lockstep.data.features import Compact, Features
from lockstep.data.features import slices as dense_slices

_PREDICT_BATCH = 8192


def logits(call: Any, features: Features | Compact) -> npt.NDArray[np.float64]:
    """Logits of n rows, shape (n, n_outputs); `call` is from `lockstep.models.network.inference`."""
    answers = np.concatenate([call(inputs).numpy() for inputs in slices(features)]).astype(np.float64)
    # A network in training keeps the members of its ensemble apart.
    return answers.mean(axis=1) if answers.ndim == 3 else answers


def probabilities(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Probability of the positive class, or of each class, by `logits` of shape (n, 1) or (n, k); shape as `logits`."""
    from scipy.special import expit, softmax

    return np.asarray(expit(logits) if logits.shape[1] == 1 else softmax(logits, axis=1))


def network_inputs(features: Features | Compact) -> dict[str, npt.NDArray[Any]]:
    """Features by the name of the network's input, or what these are made of; one of no width does not exist."""
    parts = features._asdict()
    parts.pop("bins", None)
    return {name: part for name, part in parts.items() if part.shape[1]}


def slices(features: Features | Compact) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Yield `network_inputs` of some thousand rows at a time."""
    return map(network_inputs, dense_slices(features, _PREDICT_BATCH))


def average_precision(targets: npt.NDArray[np.float32], answers: npt.NDArray[np.float64]) -> float:
    """Average precision of logits; of several classes the mean over those that the rows hold."""
    from sklearn.metrics import average_precision_score

    held = targets.any(axis=0)
    return float(average_precision_score(targets[:, held], probabilities(answers)[:, held]))


def cross_entropy(targets: npt.NDArray[np.float32], answers: npt.NDArray[np.float64]) -> float:
    """Mean cross-entropy of logits."""
    from scipy.special import log_softmax

    if answers.shape[1] == 1:
        # Of the logit, for the probability may round to 0 or 1.
        return float(np.mean(np.logaddexp(0.0, answers) - targets * answers))
    return float(-np.mean(np.sum(targets * log_softmax(answers, axis=1), axis=1)))
