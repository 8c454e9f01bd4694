"""Figures of a binary classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def ranking(labels: Labels, probability: Floats) -> dict[str, float]:
    """ROC AUC, average precision and Brier score of n rows; labels and probability have shape (n,)."""
    from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

    return {
        "roc_auc": float(roc_auc_score(labels, probability)),
        "average_precision": float(average_precision_score(labels, probability)),
        "brier": float(brier_score_loss(labels, probability)),
    }


def metrics(labels: Labels, probability: Floats, threshold: float) -> dict[str, float]:
    """All figures of n rows.

    Parameters
    ----------
    labels
        True for the positive class, shape (n,).
    probability
        Of the positive class, in [0, 1], shape (n,).
    threshold
        Precision, recall and F1 hold for decisions ``probability >= threshold``; accuracy and error rate for 0.5.
    """
    from sklearn.metrics import f1_score, precision_score, recall_score

    decisions = probability >= threshold
    accuracy = float(np.mean((probability >= 0.5) == labels))
    return {
        **ranking(labels, probability),
        "accuracy": accuracy,
        "error_rate": 1.0 - accuracy,
        "precision": float(precision_score(labels, decisions, zero_division=0.0)),
        "recall": float(recall_score(labels, decisions, zero_division=0.0)),
        "f1": float(f1_score(labels, decisions, zero_division=0.0)),
        "threshold": float(threshold),
    }


def curves(labels: Labels, probability: Floats, points: int) -> dict[str, list[dict[str, float]]]:
    """ROC and precision-recall curve, thinned to about `points` points each."""
    from sklearn.metrics import precision_recall_curve, roc_curve

    false_positive_rate, true_positive_rate, _ = roc_curve(labels, probability)
    precision, recall, _ = precision_recall_curve(labels, probability)
    return {
        "roc": _thinned(
            points, false_positive_rate=false_positive_rate, true_positive_rate=true_positive_rate
        ),
        "pr": _thinned(points, recall=recall[::-1], precision=precision[::-1]),
    }


def _thinned(points: int, **axes: npt.NDArray[Any]) -> list[dict[str, float]]:
    first = next(iter(axes.values()))
    # Evenly along the first axis: evenly by number would crowd where the table has many rows.
    kept = np.unique(np.searchsorted(first, np.linspace(first[0], first[-1], points)).clip(0, len(first) - 1))
    return [{name: round(float(values[i]), 6) for name, values in axes.items()} for i in kept]
