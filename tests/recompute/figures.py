"""Figures of probabilities and decisions, their intervals and curves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit, logit
from sklearn import metrics as reference

EDGES = np.linspace(0.0, 1.0, 16)


def point(labels: Any, probability: Any, threshold: float, decisions: Any | None = None) -> dict[str, float]:
    """The figures of `metrics` in reports/evaluation.json."""
    decisions = probability >= threshold if decisions is None else decisions
    right = reference.accuracy_score(labels, probability >= 0.5)
    found = {
        "roc_auc": reference.roc_auc_score(labels, probability),
        "average_precision": reference.average_precision_score(labels, probability),
        "brier": reference.brier_score_loss(labels, probability),
        "log_loss": reference.log_loss(labels, probability),
        "ece": float((gaps(labels, probability).abs()).sum() / len(labels)),
        "accuracy": right,
        "error_rate": 1.0 - right,
        "precision": reference.precision_score(labels, decisions, zero_division=0.0),
        "recall": reference.recall_score(labels, decisions, zero_division=0.0),
        "f1": reference.f1_score(labels, decisions, zero_division=0.0),
        "threshold": threshold,
    }
    return {name: float(figure) for name, figure in found.items()}


def bins(probability: Any) -> Any:
    """Number of each row's bin, of 15 with about as many rows."""
    return np.digitize(probability, np.quantile(probability, EDGES)[1:-1], right=True)


def gaps(labels: Any, probability: Any, weights: Any = 1.0) -> pd.Series:
    """By bin: what was foretold beyond what came true, in rows."""
    return pd.Series(weights * (probability - labels)).groupby(bins(probability)).sum()


def reliability(labels: Any, probability: Any) -> list[dict[str, float]]:
    frame = pd.DataFrame({"bin": bins(probability), "label": labels, "probability": probability})
    found = []
    for _, rows in frame.groupby("bin"):
        low, high = wilson(int(rows["label"].sum()), len(rows), 0.95)
        mean, share = rows["probability"].mean(), rows["label"].mean()
        found.append(
            {"n_rows": len(rows), "mean_probability": mean, "share": share, "low": low, "high": high}
        )
    return found


def wilson(hits: int, n: int, level: float) -> tuple[float, float]:
    """Wilson's interval, by its formula."""
    z = stats.norm.ppf(0.5 + level / 2)
    share, width = hits / n, z * np.sqrt(hits * (n - hits) / n**3 + z**2 / (4 * n**2))
    middle, scale = share + z**2 / (2 * n), 1 + z**2 / n
    return (middle - width) / scale, (middle + width) / scale


def delong(positive: Any, negative: Any) -> tuple[float, list[float]]:
    """Area under the ROC curve and its interval, by each row's placement among those of the other class."""

    def beaten(scores: Any, others: Any) -> Any:
        others = np.sort(others)
        return (
            (np.searchsorted(others, scores, "left") + np.searchsorted(others, scores, "right"))
            / 2
            / len(others)
        )

    of_positive, of_negative = beaten(positive, negative), 1 - beaten(negative, positive)
    area = float(of_positive.mean())
    variance = np.var(of_positive, ddof=1) / len(positive) + np.var(of_negative, ddof=1) / len(negative)
    if not 0 < area < 1 or variance == 0:
        return area, [area, area]
    margin = stats.norm.ppf(0.975) * np.sqrt(variance) / (area * (1 - area))
    return area, [float(expit(logit(area) - margin)), float(expit(logit(area) + margin))]


def percentiles(draws: Any) -> list[float]:
    return [float(bound) for bound in np.percentile(draws, (2.5, 97.5))]


def intervals(labels: Any, probability: Any, decisions: Any, samples: int, seed: int) -> dict[str, Any]:
    """Of all figures: DeLong's of the area under the ROC curve, else by rows drawn anew within their class."""
    strata = [np.flatnonzero(labels == code) for code in (0, 1)]
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {"average_precision": [], "brier": [], "log_loss": [], "ece": []}
    own = np.where(labels == 1, probability, 1 - probability)
    loss = -np.log(np.maximum(own, np.finfo(float).eps))
    for _ in range(samples):
        weights = np.zeros(len(labels))
        for rows in strata:
            np.add.at(weights, rows[rng.integers(0, len(rows), len(rows))], 1.0)
        area = reference.average_precision_score(labels, probability, sample_weight=weights)
        drawn["average_precision"].append(area)
        drawn["brier"].append(np.average((probability - labels) ** 2, weights=weights))
        drawn["log_loss"].append(np.average(loss, weights=weights))
        drawn["ece"].append(gaps(labels, probability, weights).abs().sum() / len(labels))
    found = {name: percentiles(values) for name, values in drawn.items()}
    error = point(labels, probability, 0.5)["ece"]
    found["ece"] = [max(0.0, 2 * error - bound) for bound in reversed(found["ece"])]
    found["roc_auc"] = delong(probability[labels == 1], probability[labels == 0])[1]
    likeliest = _confusions(labels, probability >= 0.5, samples, seed)
    right = (likeliest[:, 0, 0] + likeliest[:, 1, 1]) / len(labels)
    found |= {"accuracy": percentiles(right), "error_rate": percentiles(1 - right)}
    chosen = _confusions(labels, decisions, samples, seed)
    hits, alarms, missed = chosen[:, 1, 1], chosen[:, 0, 1], chosen[:, 1, 0]
    found["precision"] = percentiles(hits / np.maximum(hits + alarms, 1))
    found["recall"] = percentiles(hits / np.maximum(hits + missed, 1))
    found["f1"] = percentiles(2 * hits / np.maximum(2 * hits + alarms + missed, 1))
    return found


def _confusions(labels: Any, decisions: Any, samples: int, seed: int) -> Any:
    rng, counts = np.random.default_rng(seed), reference.confusion_matrix(labels, decisions, labels=[0, 1])
    return np.stack([rng.multinomial(row.sum(), row / row.sum(), size=samples) for row in counts], axis=1)


def on_curve(points: list[dict[str, float]], x: str, y: str, curve: tuple[Any, Any]) -> list[dict[str, Any]]:
    """The points that lie on the curve, to the digits that are kept; NaN for another one, and for ends that lack."""
    held = set(zip(*(np.round(axis, 6) for axis in curve), strict=True))
    ends = {(round(float(axis[0][i]), 6)) for i in (0, -1) for axis in (curve,)}
    found = [
        point if (point[x], point[y]) in held else {x: float("nan"), y: float("nan")} for point in points
    ]
    return found if ends <= {point[x] for point in points} else [{x: float("nan")}]
