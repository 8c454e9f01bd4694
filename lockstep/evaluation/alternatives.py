"""Models that a person can read, on the same columns: what it would cost to ship one of them instead."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lockstep.data.encoding import Encoder
from lockstep.data.features import Features
from lockstep.data.labels import Labels

DEPTH = 4
"""Questions that the tree asks at most, so that it fits on a page."""

_ITERATIONS = 300


def alternatives(
    encoder: Encoder, train: Features, labels: Labels, test: Features, seed: int
) -> dict[str, npt.NDArray[np.float64]]:
    """Probabilities that two models fitted on the training rows give the test rows, by the model's name.

    Parameters
    ----------
    train, test
        Encoded rows. Both models see a column of zeros and ones for each code, and the bins of the numeric columns:
        logistic regression is then additive in the raw columns, and the tree asks about one value or bin at a time.
    labels
        Of the training rows.

    Returns
    -------
    dict
        Of each model: shape (m,) of the positive class, or (m, k) of k > 2 classes.
    """
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(max_depth=DEPTH, min_samples_leaf=20, random_state=seed)
    known, asked = _sparse(encoder, train), _sparse(encoder, test)
    return {
        "logistic regression": _fitted(_logistic(), known, labels, asked),
        f"decision tree of depth {DEPTH}": _fitted(tree, known, labels, asked),
    }


def logistic_regression(
    encoder: Encoder, train: Features, labels: Labels, test: Features
) -> npt.NDArray[np.float64]:
    """Probabilities of the test rows by the first of `alternatives` alone."""
    return _fitted(_logistic(), _sparse(encoder, train), labels, _sparse(encoder, test))


def _logistic() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=_ITERATIONS)


def _fitted(model: Any, known: Any, labels: Labels, asked: Any) -> npt.NDArray[np.float64]:
    model.fit(known, labels.codes)
    probability = np.zeros((asked.shape[0], len(labels.classes)))
    probability[:, model.classes_] = model.predict_proba(asked)
    return probability[:, 1] if len(labels.classes) == 2 else probability


def _sparse(encoder: Encoder, features: Features) -> Any:
    from scipy import sparse

    n_rows, n_coded = features.codes.shape
    places = (np.repeat(np.arange(n_rows), n_coded), features.codes.ravel())
    ones = np.ones(n_rows * n_coded, dtype=np.float32)
    codes = sparse.csr_matrix((ones, places), shape=(n_rows, max(encoder.n_codes, 1)))
    return sparse.hstack([codes, sparse.csr_matrix(features.numeric)], format="csr")
