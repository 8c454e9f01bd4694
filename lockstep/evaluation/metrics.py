"""Figures of a classifier of two classes or more.

`probability` is that of the positive class, of shape (n,), or of each of three classes or more, of shape (n, k).
Figures of several classes are the mean over those that the rows hold, each against the rest: of each class alike
("macro"), and by its rows where the name ends in ``_weighted``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lockstep.evaluation.calibration import believed, expected_calibration_error
from lockstep.evaluation.decisions import accuracy, averaged, confusion, of_each_class

Labels = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def one_against_rest(codes: Codes, probability: Floats) -> Iterator[tuple[Labels, Floats]]:
    """Yield mask and probability of the positive class, or of each of several classes."""
    if probability.ndim == 1:
        yield codes == 1, probability
    else:
        for code in range(probability.shape[1]):
            yield codes == code, probability[:, code]


def decided(probability: Floats, threshold: float | None = None) -> Codes:
    """Number of the class that each row gets, shape (n,).

    It is the likeliest; of two classes and with a `threshold` that which has a probability of at least so much.
    """
    if probability.ndim == 1:
        return (probability >= (0.5 if threshold is None else threshold)).astype(np.int64)
    return probability.argmax(axis=1)


def row_losses(codes: Codes, probability: Floats) -> dict[str, Floats]:
    """Loss of each of n rows, whose means are the Brier score and the log loss; shape (n,) each.

    Of several classes the Brier score is half the sum over the classes (Brier 1950 took the whole), so that it lies in
    [0, 1] and two classes give the figure of the binary one.
    """
    if probability.ndim == 1:
        brier = (probability - (codes == 1)) ** 2
        of_own = np.where(codes == 1, probability, 1.0 - probability)
    else:
        brier = ((probability - np.eye(probability.shape[1])[codes]) ** 2).sum(axis=1) / 2
        of_own = probability[np.arange(len(codes)), codes]
    return {"brier": brier, "log_loss": -np.log(np.maximum(of_own, np.finfo(np.float64).eps))}


def ranking(codes: Codes, probability: Floats) -> dict[str, float]:
    """ROC AUC, average precision and Brier score of n rows; `codes` is the number of each row's class."""
    counts = _counts(codes, probability)
    areas = {name: _summed(name, found, counts)[name] for name, found in _areas(codes, probability).items()}
    return {
        **{name: float(area) for name, area in areas.items()},
        "brier": float(row_losses(codes, probability)["brier"].mean()),
    }


def metrics(
    codes: Codes, probability: Floats, threshold: float | None, decisions: Codes | None = None
) -> dict[str, float]:
    """All figures of n rows.

    Parameters
    ----------
    codes
        Number of each row's class, 1 for the positive one of two; shape (n,).
    threshold
        Of two classes: precision, recall and F1 hold for decisions ``probability >= threshold``; accuracy and error
        rate for 0.5. None of more, where the likeliest class is decided on.
    decisions
        Number of the class that each row gets where no one threshold tells it, shape (n,).
    """
    counts = _counts(codes, probability)
    figures = assembled(
        _areas(codes, probability),
        {name: losses.mean() for name, losses in row_losses(codes, probability).items()},
        np.array(expected_calibration_error(*believed(codes, probability))),
        confusion(codes, decided(probability), len(counts)),
        confusion(codes, decided(probability, threshold) if decisions is None else decisions, len(counts)),
        counts,
    )
    found = {name: float(figure) for name, figure in figures.items()}
    return found if threshold is None else {**found, "threshold": float(threshold)}


def metrics_by_class(codes: Codes, probability: Floats) -> dict[str, Floats]:
    """ROC AUC, average precision, precision, recall and F1 of each of k classes against the rest, shape (k,) each.

    The areas of a class that the rows do not hold are NaN.
    """
    counts = confusion(codes, decided(probability), probability.shape[1])
    return {**_areas(codes, probability), **of_each_class(counts)}


def assembled(
    areas: Mapping[str, Floats],
    losses: Mapping[str, Floats],
    calibration_error: Floats,
    likeliest: npt.NDArray[Any],
    at_threshold: npt.NDArray[Any],
    counts: npt.NDArray[Any],
) -> dict[str, Floats]:
    """Figures by name from their parts, of the rows (no leading axis) or of bootstrap draws (one).

    Parameters
    ----------
    areas
        ROC AUC and average precision of the positive class or of each class, shape (..., c).
    losses, calibration_error
        Shape (...).
    likeliest, at_threshold
        `confusion` of both kinds of decisions, shape (..., k, k).
    counts
        Rows of each class, shape (k,).
    """
    figures: dict[str, Floats] = {}
    for name, found in areas.items():
        figures |= _summed(name, found, counts)
    figures |= {**losses, "ece": calibration_error}
    figures |= {"accuracy": accuracy(likeliest), "error_rate": 1.0 - accuracy(likeliest)}
    for name, found in of_each_class(at_threshold).items():
        figures |= _summed(name, found, counts)
    return figures


def _summed(name: str, figures: Floats, counts: npt.NDArray[Any]) -> dict[str, Floats]:
    if len(counts) == 2:
        return {name: figures[..., -1]}
    means = averaged(figures, counts)
    return {name: means["macro"], f"{name}_weighted": means["weighted"]}


def _counts(codes: Codes, probability: Floats) -> npt.NDArray[np.int64]:
    return np.bincount(codes, minlength=2 if probability.ndim == 1 else probability.shape[1])


def _areas(codes: Codes, probability: Floats) -> dict[str, Floats]:
    from sklearn.metrics import average_precision_score, roc_auc_score

    pairs = list(one_against_rest(codes, probability))
    found = np.full((2, len(pairs)), np.nan)
    for column, (hits, score) in enumerate(pairs):
        if 0 < hits.sum() < len(hits):
            found[:, column] = roc_auc_score(hits, score), average_precision_score(hits, score)
    return {"roc_auc": found[0], "average_precision": found[1]}


def curves(codes: Codes, probability: Floats, points: int) -> dict[str, list[dict[str, float]]]:
    """ROC and precision-recall curve of about `points` points each; of several classes the mean of their curves."""
    from sklearn.metrics import precision_recall_curve, roc_curve

    roc, pr = [], []
    for hits, score in one_against_rest(codes, probability):
        if 0 < hits.sum() < len(hits):
            roc.append(roc_curve(hits, score)[:2])
            precision, recall, _ = precision_recall_curve(hits, score)
            pr.append((recall[::-1], precision[::-1]))
    if probability.ndim == 1:
        return {
            "roc": _thinned(points, false_positive_rate=roc[0][0], true_positive_rate=roc[0][1]),
            "pr": _thinned(points, recall=pr[0][0], precision=pr[0][1]),
        }
    grid = np.linspace(0.0, 1.0, points)
    # Steps: a rate of hits holds until the next alarm, a precision for the recall that leads up to it.
    hit_rate = np.mean([tpr[np.searchsorted(fpr, grid, side="right") - 1] for fpr, tpr in roc], axis=0)
    precision = np.mean([precision[np.searchsorted(recall, grid)] for recall, precision in pr], axis=0)
    return {
        "roc": _thinned(points, false_positive_rate=grid, true_positive_rate=hit_rate),
        "pr": _thinned(points, recall=grid, precision=precision),
    }


def _thinned(points: int, **axes: npt.NDArray[Any]) -> list[dict[str, float]]:
    first = next(iter(axes.values()))
    # Evenly along the first axis: evenly by number would crowd where the table has many rows.
    kept = np.unique(np.searchsorted(first, np.linspace(first[0], first[-1], points)).clip(0, len(first) - 1))
    return [{name: round(float(values[i]), 6) for name, values in axes.items()} for i in kept]
