"""95 % confidence intervals by the stratified percentile bootstrap (Efron & Tibshirani 1993, chapter 13)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lockstep.evaluation.metrics import Floats, Labels
from lockstep.progress import track

Interval = tuple[float, float]

_PERCENTILES = (2.5, 97.5)


def ranking_intervals(labels: Labels, probability: Floats, samples: int, seed: int) -> dict[str, Interval]:
    """Intervals of ROC AUC, average precision and Brier score of n rows.

    Rows are drawn within each class, so that the share of positives stays as it is.
    """
    order = np.argsort(-probability, kind="stable")
    ranked, hits = probability[order], labels[order]
    starts = np.append(0, np.flatnonzero(np.diff(ranked)) + 1)
    positives, negatives = np.flatnonzero(hits), np.flatnonzero(~hits)
    squared_error = (ranked - hits) ** 2
    rng = np.random.default_rng(seed)
    draws = np.empty((samples, 3))
    with track("bootstrap samples", samples) as advance:
        for i in range(samples):
            weights = np.zeros(len(hits))
            for rows in (positives, negatives):
                weights[rows] = np.bincount(rng.integers(0, len(rows), len(rows)), minlength=len(rows))
            tied = np.add.reduceat(np.column_stack((weights * hits, weights * ~hits)), starts)
            draws[i] = (*_areas(tied[:, 0], tied[:, 1]), np.average(squared_error, weights=weights))
            advance()
    return {
        name: _interval(draws[:, column])
        for column, name in enumerate(("roc_auc", "average_precision", "brier"))
    }


def _areas(hits: Floats, misses: Floats) -> tuple[float, float]:
    """ROC AUC and average precision from the weight of each class at each distinct probability, highest first."""
    true_positives, false_positives = np.cumsum(hits), np.cumsum(misses)
    won = misses * (true_positives - hits / 2)
    chosen = true_positives + false_positives
    precision = np.divide(true_positives, chosen, out=np.zeros_like(chosen), where=chosen > 0)
    n_positive = true_positives[-1]
    return float(won.sum() / (n_positive * false_positives[-1])), float((precision * hits).sum() / n_positive)


def difference_intervals(table: Sequence[Mapping[str, Any]], samples: int, seed: int) -> dict[str, Interval]:
    """Intervals of the demographic parity and the equalized odds difference.

    Parameters
    ----------
    table
        A group each, as `lockstep.fairness.groups.audit` counts them. Given the classes, decisions of a group are two
        binomial draws, which is the bootstrap within group and class.
    """
    rng = np.random.default_rng(seed)
    rows = np.array([group["n_rows"] for group in table])
    positives = np.array([group["n_positive"] for group in table])
    negatives = rows - positives
    hits = rng.binomial(positives, [g["true_positive_rate"] for g in table], (samples, len(table)))
    alarms = rng.binomial(negatives, [g["false_positive_rate"] for g in table], (samples, len(table)))
    selection = [(hits + alarms) / rows]
    errors = [hits / np.maximum(positives, 1), alarms / np.maximum(negatives, 1)]
    observed = [
        [g[f"{kind}_rate"] for g in table] for kind in ("selection", "true_positive", "false_positive")
    ]
    return {
        "demographic_parity_difference": _gap_interval(observed[:1], selection),
        "equalized_odds_difference": _gap_interval(observed[1:], errors),
    }


def _gap_interval(observed: Sequence[Sequence[float]], draws: Sequence[Floats]) -> Interval:
    """Interval of the largest gap between two groups in one of several rates.

    It is that of the two groups that are furthest apart in the observed rows: the largest gap of each draw is never
    negative, so its percentiles would lie above a gap of nothing.
    """
    widest = int(np.argmax([np.ptp(rates) for rates in observed]))
    rates = list(observed[widest])
    # Of equal groups the two ends differ: a group has no gap to itself.
    high, low = int(np.argmax(rates)), len(rates) - 1 - int(np.argmin(rates[::-1]))
    bounds = _interval(draws[widest][:, high] - draws[widest][:, low])
    return max(0.0, bounds[0]), max(0.0, bounds[1])


def _interval(draws: npt.NDArray[np.float64]) -> Interval:
    low, high = np.percentile(draws, _PERCENTILES)
    return float(low), float(high)
