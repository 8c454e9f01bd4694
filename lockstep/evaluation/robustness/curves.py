"""What perturbed rows cost, beside the same rows as they were: paired bootstrap, stratified by class.

A loss is the share of what a model is better by than a random order, whose average precision is the share of the
positives and whose area under the ROC curve is a half: so one threshold means the same on every table.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from lockstep.evaluation.bootstrap import percentiles
from lockstep.evaluation.metrics import Codes, Floats, Labels, one_against_rest

Figure = Literal["average_precision", "roc_auc"]
_LEAST = 1e-9
"""A model that is better by less than that has nothing to lose."""


class Areas(NamedTuple):
    """Average precision and area under the ROC curve of s weightings of n rows, shape (s,) each."""

    average_precision: Floats
    roc_auc: Floats


def areas(codes: Codes, probability: Floats, weights: Floats) -> Areas:
    """Areas under both curves; of several classes their mean over the classes that the rows hold.

    Parameters
    ----------
    codes, probability
        As for `lockstep.evaluation.metrics.metrics`, of rows of two classes at least.
    weights
        Of each row in each weighting, shape (n, s).
    """
    pairs = one_against_rest(codes, probability)
    found = [_areas(hits, score, weights) for hits, score in pairs if 0 < hits.sum() < len(hits)]
    return Areas(*np.mean(found, axis=0))


def _areas(hits: Labels, score: Floats, weights: Floats) -> Areas:
    order = np.argsort(-score, kind="stable")
    positive = np.flatnonzero(hits[order])
    # Rows of equal score count together: where those of a positive row begin and end.
    ends = np.append(np.flatnonzero(np.diff(score[order])) + 1, len(order))
    own = np.searchsorted(ends, positive, side="right")
    last, first = ends[own], np.append(0, ends)[own]
    chosen, found = _summed(weights[order]), _summed(weights[order[positive]])
    found_last, found_first = found[np.searchsorted(positive, last)], found[np.searchsorted(positive, first)]
    chosen_last = chosen[last]
    alarms_last, alarms_first = chosen_last - found_last, chosen[first] - found_first
    of_each = weights[order[positive]]
    precision = np.divide(found_last, chosen_last, out=np.zeros_like(found_last), where=chosen_last > 0)
    outranked = (of_each * (alarms_last + alarms_first)).sum(axis=0) / 2
    n_positive = found[-1]
    n_negative = chosen[-1] - n_positive
    return Areas((of_each * precision).sum(axis=0) / n_positive, 1 - outranked / (n_positive * n_negative))


def _summed(weights: Floats) -> Floats:
    """Sums of the first 0, 1, ... n rows, shape (n + 1, s)."""
    sums = np.zeros((len(weights) + 1, weights.shape[1]))
    np.cumsum(weights, axis=0, out=sums[1:])
    return sums


class Baseline:
    """The rows as they were.

    Parameters
    ----------
    codes
        Number of each row's class, shape (n,); two classes at least.
    probability
        Of the rows as they were, as `lockstep.bundle.scorer.Scorer.score` gives it.
    decisions
        Number of the class that each row got, shape (n,).
    samples, seed
        Draws of the bootstrap, and what they follow from.
    """

    def __init__(self, codes: Codes, probability: Floats, decisions: Codes, samples: int, seed: int) -> None:
        self._codes, self._probability, self._decisions = codes, probability, decisions
        # The rows themselves, then the draws.
        self._weights = np.ones((len(codes), samples + 1))
        rng = np.random.default_rng(seed)
        for rows in (np.flatnonzero(codes == code) for code in np.unique(codes)):
            drawn = rng.multinomial(len(rows), np.full(len(rows), 1.0 / len(rows)), size=samples)
            self._weights[rows, 1:] = drawn.T
        self._areas = areas(codes, probability, self._weights)
        hits = [hits.mean() for hits, _ in one_against_rest(codes, probability)]
        held = [share for share in hits if 0 < share < 1]
        self._by_chance: dict[Figure, float] = {"average_precision": float(np.mean(held)), "roc_auc": 0.5}

    def figures(self) -> dict[str, Any]:
        """Areas of the rows as they were, with intervals."""
        return _with_intervals(self._areas._asdict())

    def beside(
        self, probability: Floats, decisions: Codes, figure: Figure = "average_precision"
    ) -> dict[str, Any]:
        """Figures of the perturbed rows and what is decided of them, with intervals; ``lost`` is about `figure`."""
        changed = self._weights.T @ (decisions != self._decisions)
        return self._figures(
            areas(self._codes, probability, self._weights), changed / len(self._codes), figure
        )

    def reweighed(self, mask: Labels, odds: float, figure: Figure = "roc_auc") -> dict[str, Any]:
        """Figures if the odds of a row of `mask`, shape (n,), were `odds` times what they are; no decision changes."""
        weights = self._weights * np.where(mask, odds, 1.0)[:, None]
        return self._figures(areas(self._codes, self._probability, weights), None, figure)

    def _figures(self, found: Areas, changed: Floats | None, figure: Figure) -> dict[str, Any]:
        before, after = getattr(self._areas, figure), getattr(found, figure)
        better = before - self._by_chance[figure]
        figures = _with_intervals(found._asdict())
        if changed is not None:
            figures |= _with_intervals({"changed_decisions": changed})
        if better[0] <= _LEAST:
            return {**figures, "lost": None, "lost_interval": None}
        # A draw in which the model is no better than chance has nothing to lose.
        lost = np.divide(before - after, better, out=np.zeros_like(better), where=better > _LEAST)
        return {**figures, **_with_intervals({"lost": lost})}


def _with_intervals(draws: dict[str, Floats]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name, found in draws.items():
        figures[name] = float(found[0])
        figures[f"{name}_interval"] = percentiles(found[1:])
    return figures
