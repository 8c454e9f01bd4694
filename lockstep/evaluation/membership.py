"""Membership inference: how well an attacker tells the rows that a model was trained on from others.

S. Yeom, I. Giacomelli, M. Fredrikson and S. Jha (2018), "Privacy Risk in Machine Learning: Analyzing the Connection to
Overfitting", arXiv:1709.01604: a row with a small loss is taken for a member. L. Watson, C. Guo, G. Cormode and A.
Sablayrolles (2022), "On the Importance of Difficulty Calibration in Membership Inference Attacks", arXiv:2111.08440:
with a loss small beside that of a model which did not see the row. Judged as N. Carlini et al. (2022), "Membership
Inference Attacks From First Principles", arXiv:2112.03570, ask: by the share of members found where hardly anybody else
is accused, for a mean over all rows hides the few that a model has learned by heart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lockstep.evaluation.bootstrap import Interval
from lockstep.evaluation.delong import area_interval, influences
from lockstep.evaluation.metrics import Codes, Floats

MIN_ACCUSED = 10
"""Rows beside the members that must be accused at a false positive rate before that is evidence."""

_POINTS = 40
_ERROR = 0.05


def is_evidence(n_members: int, n_others: int, rate: float) -> bool:
    """Whether so many rows can tell a true positive rate at the false positive rate `rate`."""
    # Rounded, for 1,000 times 0.01 need not be 10.
    return round(min(n_members, n_others) * rate, 6) >= MIN_ACCUSED


def judgeable_rate(n_test: float) -> float:
    """Lowest of a few false positive rates that about so many test rows can tell.

    Twice as many as it takes: some of them occur in training too, and are not attacked.
    """
    return next((rate for rate in (0.001, 0.01) if rate * n_test >= 2 * MIN_ACCUSED), 0.1)


def attack(members: Floats, others: Floats, rate: float, comparisons: int) -> dict[str, Any]:
    """Figures of an attack from the scores that it gives to rows.

    Parameters
    ----------
    members, others
        Higher for rows that look like members, shape (m,) and (n,).
    rate
        False positive rate at which the attack is judged.
    comparisons
        How many attacks the 95 % interval of the true positive rate is to hold for together (Bonferroni).

    Returns
    -------
    dict
        ``true_positive_rate`` at `rate` with ``interval``, ``roc_auc`` with ``roc_auc_interval`` (DeLong), and ``roc``:
        points from the least false positive rate that so many rows can show, evenly spaced on a logarithmic scale.
    """
    hits = np.repeat([True, False], [len(members), len(others)])
    area, influence = influences(hits, np.concatenate((members, others)))
    rates = np.geomspace(1.0 / len(others), 1.0, _POINTS)
    found = zip(rates, true_positive_rates(members, others, rates), strict=True)
    return {
        "true_positive_rate": float(true_positive_rates(members, others, np.array([rate]))[0]),
        "interval": rate_interval(members, others, rate, comparisons),
        "roc_auc": area,
        "roc_auc_interval": area_interval(area, influence, hits.astype(np.int64)),
        "roc": [{"false_positive_rate": float(x), "true_positive_rate": float(y)} for x, y in found],
    }


def true_positive_rates(members: Floats, others: Floats, rates: Floats) -> Floats:
    """Share of the members that are found at each false positive rate, shape of `rates`.

    Between two thresholds the attacker tosses a coin, a straight line of the ROC curve, so that equal scores, of which
    a compressed model gives many, neither help nor hide anything. Where the curve rises at one of `rates`, all of the
    rise counts.
    """
    thresholds = np.unique(np.concatenate((members, others)))[::-1]

    def reached(scores: Floats) -> Floats:
        above = len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")
        # One division of whole numbers: a rate that is one of these steps finds the same number, and the step's end.
        return np.concatenate(([0.0], above / len(scores)))

    return np.interp(rates, reached(others), reached(members))


def rate_interval(members: Floats, others: Floats, rate: float, comparisons: int) -> Interval:
    """95 % interval of the true positive rate at a false positive rate; it assumes nothing about the scores.

    The `rate` quantile of all other rows' scores lies between two of those seen, told by the binomial number above it;
    at either the share of members is a binomial one (Clopper & Pearson 1934). Half of the error goes to each of both,
    so that the interval holds in at least 95 % of all samples, and mostly more.
    """
    from scipy.stats import beta, binom

    n_members, n_others, tail = len(members), len(others), _ERROR / comparisons / 4
    fewest, most = (float(binom.ppf(share, n_others, rate)) for share in (tail, 1.0 - tail))
    ends = np.clip(np.array([fewest - 1.0, most]) / n_others, 0.0, 1.0)
    low, high = true_positive_rates(members, others, ends) * n_members
    found, found_at_most = int(np.floor(low)), int(np.ceil(high))
    return (
        float(beta.ppf(tail, found, n_members - found + 1)) if fewest >= 1 and found else 0.0,
        float(beta.ppf(1.0 - tail, found_at_most + 1, n_members - found_at_most))
        if found_at_most < n_members
        else 1.0,
    )


def matched(
    members: Codes, others: Codes, limit: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int_], npt.NDArray[np.int_]]:
    """Draw members with the class shares of the others, so that an attack cannot live on the classes alone.

    Parameters
    ----------
    members, others
        Number of each row's class.
    limit
        Rows to draw of each, at most.

    Returns
    -------
    tuple
        Numbers of the rows that are drawn, of the members and of the others.
    """
    drawn = rng.permutation(len(others))[:limit]
    n_classes = int(max(members.max(initial=0), others.max(initial=0))) + 1
    shares = np.bincount(others[drawn], minlength=n_classes) / max(len(drawn), 1)
    held = np.bincount(members, minlength=n_classes)
    most = min([limit, *(held[shares > 0] / shares[shares > 0])], default=0)
    wanted = (most * shares + 1e-9).astype(np.int64)
    by_class = [rng.permutation(np.flatnonzero(members == i))[:n] for i, n in enumerate(wanted)]
    return np.sort(np.concatenate(by_class)), np.sort(drawn)
