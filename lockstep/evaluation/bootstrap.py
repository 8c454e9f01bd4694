"""95 % confidence intervals by the stratified bootstrap (Efron & Tibshirani 1993, chapter 13)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import NamedTuple

import numpy as np

from lockstep.evaluation.calibration import believed, expected_calibration_error, quantile_bins
from lockstep.evaluation.decisions import confusion, of_each_class, resampled
from lockstep.evaluation.delong import roc_auc_intervals
from lockstep.evaluation.metrics import (
    Codes,
    Floats,
    Labels,
    assembled,
    decided,
    one_against_rest,
    row_losses,
)
from lockstep.progress import track

Interval = tuple[float, float]

_PERCENTILES = (2.5, 97.5)
_RANKING = ("roc_auc", "average_precision", "brier")


class Intervals(NamedTuple):
    """95 % intervals.

    Attributes
    ----------
    overall
        Of the figures of `lockstep.evaluation.metrics.metrics` by name, but the threshold.
    by_class
        Of those of `lockstep.evaluation.metrics.metrics_by_class`, one for each class; empty of two classes.
    """

    overall: dict[str, Interval]
    by_class: dict[str, list[Interval]]


def intervals(
    codes: Codes,
    probability: Floats,
    threshold: float | None,
    samples: int,
    seed: int,
    decisions: Codes | None = None,
) -> Intervals:
    """Intervals of all figures of n rows.

    Rows are drawn `samples` times within each class, so that the classes' shares stay as they are. Areas under ROC
    curves have DeLong's interval, the expected calibration error the basic one, and all else percentiles. The other
    arguments are those of `lockstep.evaluation.metrics.metrics`.
    """
    n_classes = 2 if probability.ndim == 1 else probability.shape[1]
    counts = np.bincount(codes, minlength=n_classes)
    rows = _draw_rows(codes, probability, samples, seed)
    likeliest, at_threshold = (
        resampled(confusion(codes, chosen, n_classes), samples, seed)
        for chosen in (
            decided(probability),
            decided(probability, threshold) if decisions is None else decisions,
        )
    )
    areas = {"average_precision": rows.average_precision}
    draws = assembled(areas, rows.losses, rows.calibration_error, likeliest, at_threshold, counts)
    roc_auc, roc_auc_by_class = roc_auc_intervals(codes, probability)
    error = expected_calibration_error(*believed(codes, probability))
    overall = {
        **roc_auc,
        **{name: percentiles(of_figure) for name, of_figure in draws.items()},
        "ece": _basic(error, draws["ece"]),
    }
    if probability.ndim == 1:
        return Intervals(overall, {})
    by_class = {
        name: [percentiles(of_class) for of_class in found.T]
        for name, found in {**areas, **of_each_class(at_threshold)}.items()
    }
    return Intervals(overall, {"roc_auc": roc_auc_by_class, **by_class})


class _Draws(NamedTuple):
    """Figures of bootstrap samples, one a row."""

    average_precision: Floats
    losses: dict[str, Floats]
    calibration_error: Floats


def _draw_rows(codes: Codes, probability: Floats, samples: int, seed: int) -> _Draws:
    ranked = [_Ranked(hits, score) for hits, score in one_against_rest(codes, probability)]
    losses = row_losses(codes, probability)
    confidence, right = believed(codes, probability)
    # The bins of the rows themselves: those of each draw would be another figure.
    bins, gaps = quantile_bins(confidence), confidence - right
    drawn = np.empty((samples, len(ranked) + len(losses) + 1))
    with track("bootstrap samples", samples) as advance:
        for draw, weights in zip(drawn, _weights(codes, samples, seed), strict=True):
            areas = [of_class.areas(weights).average_precision for of_class in ranked]
            means = [weights @ of_rows / len(codes) for of_rows in losses.values()]
            error = np.abs(np.bincount(bins, weights * gaps)).sum() / len(codes)
            draw[:] = [*areas, *means, error]
            advance()
    of_losses = drawn[:, len(ranked) : -1].T
    return _Draws(drawn[:, : len(ranked)], dict(zip(losses, of_losses, strict=True)), drawn[:, -1])


def ranking_draws(
    codes: Codes, probabilities: Mapping[str, Floats], samples: int, seed: int
) -> dict[str, dict[str, Floats]]:
    """Figures of `lockstep.evaluation.metrics.ranking` of models on the same n rows and on the same draws of them.

    Parameters
    ----------
    codes
        Number of each row's class, shape (n,).
    probabilities
        By model, as `lockstep.evaluation.metrics.metrics` takes them.

    Returns
    -------
    dict
        By model and figure, shape (samples + 1,): on the rows themselves, then on each draw of them within each class.
    """
    ranked = {
        name: [_Ranked(hits, score) for hits, score in one_against_rest(codes, probability) if hits.any()]
        for name, probability in probabilities.items()
    }
    losses = {name: row_losses(codes, probability)["brier"] for name, probability in probabilities.items()}
    found = np.empty((samples + 1, len(ranked), len(_RANKING)))
    draws = chain([np.ones(len(codes))], _weights(codes, samples, seed))
    with track("paired bootstrap samples", samples + 1) as advance:
        for draw, weights in zip(found, draws, strict=True):
            for of_model, name in zip(draw, ranked, strict=True):
                areas = np.mean([of_class.areas(weights) for of_class in ranked[name]], axis=0)
                of_model[:] = [*areas, weights @ losses[name] / len(codes)]
            advance()
    return {
        name: {figure: found[:, i, j] for j, figure in enumerate(_RANKING)} for i, name in enumerate(ranked)
    }


def _weights(codes: Codes, samples: int, seed: int) -> Iterator[Floats]:
    """Yield how often each row is drawn, within its class; the same array each time."""
    strata = [np.flatnonzero(codes == code) for code in np.unique(codes)]
    rng = np.random.default_rng(seed)
    weights = np.empty(len(codes))
    for _ in range(samples):
        for rows in strata:
            weights[rows] = np.bincount(rng.integers(0, len(rows), len(rows)), minlength=len(rows))
        yield weights


class _Areas(NamedTuple):
    roc_auc: float
    average_precision: float


class _Ranked:
    """Rows by falling score, those of equal score together."""

    def __init__(self, hits: Labels, score: Floats) -> None:
        self._order = np.argsort(-score, kind="stable")
        self._hits = hits[self._order]
        self._starts = np.append(0, np.flatnonzero(np.diff(score[self._order])) + 1)

    def areas(self, weights: Floats) -> _Areas:
        """As scikit-learn defines them for rows of `weights`; 0 where no row is a hit, or each is one."""
        ranked = weights[self._order]
        hits, rows = (np.add.reduceat(part, self._starts) for part in (ranked * self._hits, ranked))
        found, chosen = np.cumsum(hits), np.cumsum(rows)
        precision = np.divide(found, chosen, out=np.zeros_like(chosen), where=chosen > 0)
        # A row of equal score counts half, as one that a coin puts first.
        won = ((rows - hits) * (found - hits / 2)).sum()
        return _Areas(
            float(won / max(found[-1] * (chosen[-1] - found[-1]), 1.0)),
            float((precision * hits).sum() / max(found[-1], 1.0)),
        )


def percentiles(draws: Floats) -> Interval:
    """The middle 95 % of `draws`, shape (samples,)."""
    low, high = np.percentile(draws, _PERCENTILES)
    return float(low), float(high)


def _basic(figure: float, draws: Floats) -> Interval:
    """Percentiles turned around the figure (Davison & Hinkley 1997, section 5.2), for one that noise can only raise.

    The draws lie above the figure by as much as the figure lies above the truth.
    """
    low, high = percentiles(draws)
    return max(0.0, 2 * figure - high), max(0.0, 2 * figure - low)
