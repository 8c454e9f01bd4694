"""Figures of probabilities, and paired bootstrap intervals of their differences between learners.

Every learner's rows are drawn by the same seed, so that the i-th draw of two learners is about the same rows: the
difference of the two is a draw of the paired bootstrap (Efron & Tibshirani 1993, chapter 8.3), and no prediction has
to be kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks._tables import SEED, Codes

Floats = npt.NDArray[np.float64]

N_DRAWS = 400
METRICS = {"roc_auc": 1, "average_precision": 1, "log_loss": -1, "brier": -1}
"""Each with 1 where higher is better, else -1."""

_SMALLEST = 1e-15


def metrics(target: Codes, probability: Floats) -> dict[str, float]:
    """ROC AUC, average precision, log loss and Brier score of n rows.

    Parameters
    ----------
    target
        Class of each row, shape (n,).
    probability
        Shape (n, n_classes). Of more than two classes, the first two figures are means over the classes of one
        against the rest, and the Brier score is the squared error summed over the classes.
    """
    return _Scored(target, probability).metrics(np.ones(len(target)))


def draws(folds: Sequence[tuple[Codes, Floats]]) -> dict[str, Floats]:
    """Figures of `N_DRAWS` stratified bootstrap samples, each the mean over the folds; shape (N_DRAWS,)."""
    total = {name: np.zeros(N_DRAWS) for name in METRICS}
    for number, (target, probability) in enumerate(folds):
        rng = np.random.default_rng((SEED, number))
        scored = _Scored(target, probability)
        classes = [np.flatnonzero(target == k) for k in range(probability.shape[1])]
        for i in range(N_DRAWS):
            weights = np.zeros(len(target))
            for rows in classes:
                weights[rows] = np.bincount(rng.integers(0, len(rows), len(rows)), minlength=len(rows))
            for name, value in scored.metrics(weights).items():
                total[name][i] += value / len(folds)
    return total


def difference(ours: Mapping[str, Any], theirs: Mapping[str, Any], metric: str) -> tuple[float, float, float]:
    """Ours minus theirs in `metric`, and its 95 % interval; positive where ours is better."""
    sign = METRICS[metric]
    gain = sign * (ours["metrics"][metric] - theirs["metrics"][metric])
    gains = sign * np.subtract(ours["draws"][metric], theirs["draws"][metric])
    low, high = np.percentile(gains, (2.5, 97.5))
    # Of -0.0 the sum is 0.0.
    return gain + 0.0, float(low) + 0.0, float(high) + 0.0


class _Scored:
    """Probabilities of n rows, ordered once for any number of weightings."""

    def __init__(self, target: Codes, probability: Floats) -> None:
        n_classes = probability.shape[1]
        probability = np.asarray(probability, dtype=np.float64)
        hits = target[:, None] == np.arange(n_classes)
        if n_classes == 2:
            self._squared = (probability[:, 1] - hits[:, 1]) ** 2
        else:
            self._squared = ((probability - hits) ** 2).sum(axis=1)
        self._logs = -np.log(np.maximum(probability[np.arange(len(target)), target], _SMALLEST))
        ranked = [1] if n_classes == 2 else range(n_classes)
        self._rankings = [_ranking(hits[:, k], probability[:, k]) for k in ranked]

    def metrics(self, weights: Floats) -> dict[str, float]:
        areas = []
        for order, hits, starts in self._rankings:
            drawn = weights[order]
            tied = np.add.reduceat(np.column_stack((drawn * hits, drawn * ~hits)), starts)
            areas.append(_areas(tied[:, 0], tied[:, 1]))
        roc_auc, average_precision = np.mean(areas, axis=0)
        return {
            "roc_auc": float(roc_auc),
            "average_precision": float(average_precision),
            "log_loss": float(np.average(self._logs, weights=weights)),
            "brier": float(np.average(self._squared, weights=weights)),
        }


def _areas(hits: Floats, misses: Floats) -> tuple[float, float]:
    """ROC AUC and average precision from the weight of each class at each distinct probability, highest first."""
    true_positives, false_positives = np.cumsum(hits), np.cumsum(misses)
    won = misses * (true_positives - hits / 2)
    chosen = true_positives + false_positives
    precision = np.divide(true_positives, chosen, out=np.zeros_like(chosen), where=chosen > 0)
    n_positive = true_positives[-1]
    return float(won.sum() / (n_positive * false_positives[-1])), float((precision * hits).sum() / n_positive)


def _ranking(hits: npt.NDArray[np.bool_], probability: Floats) -> tuple[Codes, npt.NDArray[np.bool_], Codes]:
    """Order from the highest probability down, the hits in it, and where each distinct probability begins."""
    order = np.argsort(-probability, kind="stable")
    starts = np.append(0, np.flatnonzero(np.diff(probability[order])) + 1)
    return order, hits[order], starts
