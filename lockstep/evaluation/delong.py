"""Intervals of areas under ROC curves, without resampling.

E. DeLong, D. DeLong & D. Clarke-Pearson (1988), "Comparing the Areas under Two or More Correlated Receiver Operating
Characteristic Curves", Biometrics 44(3), 837-845; by ranks in O(n log n): X. Sun & W. Xu (2014), "Fast Implementation
of DeLong's Algorithm for Comparing the Areas Under Correlated Receiver Operating Characteristic Curves", IEEE Signal
Processing Letters 21(11), 1389-1393.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lockstep.evaluation.decisions import averaged
from lockstep.evaluation.metrics import Floats, one_against_rest

Interval = tuple[float, float]

_Z = 1.959963984540054  # of a 95 % interval


def influences(hits: npt.NDArray[np.bool_], score: Floats) -> tuple[float, Floats]:
    """Area under the ROC curve of n rows, and how much each row draws it away from that.

    Parameters
    ----------
    hits
        True for the positive class, of which there is one row and one of the other at least; shape (n,).
    score
        Higher for rows that look positive, shape (n,).

    Returns
    -------
    area, influence
        The influences, of shape (n,), sum to 0 within either class. The sum of their squares is the area's variance,
        but for n / (n - 1) of each class.
    """
    from scipy.stats import rankdata

    n_hits, n_misses = int(hits.sum()), int((~hits).sum())
    beaten = rankdata(score)
    beaten[hits] -= rankdata(score[hits])
    beaten[~hits] -= rankdata(score[~hits])
    # A row's share of the other class that lies on its right side.
    share = np.where(hits, beaten / n_misses, 1.0 - beaten / n_hits)
    area = float(share[hits].mean())
    return area, (share - area) / np.where(hits, n_hits, n_misses)


def area_interval(area: float, influence: Floats, codes: npt.NDArray[np.int64]) -> Interval:
    """95 % interval of an area, or of a mean of areas, from the influence of each row.

    Parameters
    ----------
    area
        An area, or a mean of several.
    influence
        From `influences`, or as much a mean of several; shape (n,).
    codes
        Number of each row's class, shape (n,): rows count as drawn within each class.

    Returns
    -------
    low, high
        Symmetric on the logit scale, on which they stay within [0, 1] (Pepe 2003, "The Statistical Evaluation of
        Medical Tests", section 5.2). Where the classes are wholly apart both are the area: no row tells how far it
        varies.
    """
    variance = 0.0
    for code in np.unique(codes):
        of_class = influence[codes == code]
        if len(of_class) > 1:
            variance += len(of_class) * float(np.var(of_class, ddof=1))
    if not 0.0 < area < 1.0 or variance == 0.0:
        return area, area
    middle = np.log(area / (1.0 - area))
    margin = _Z * np.sqrt(variance) / (area * (1.0 - area))
    low, high = 1.0 / (1.0 + np.exp(-np.array([middle - margin, middle + margin])))
    return float(low), float(high)


def roc_auc_intervals(
    codes: npt.NDArray[np.int64], probability: Floats
) -> tuple[dict[str, Interval], list[Interval]]:
    """Intervals of the figures ``roc_auc`` of `lockstep.evaluation.metrics`.

    Parameters
    ----------
    codes, probability
        As for `lockstep.evaluation.metrics.metrics`.

    Returns
    -------
    overall, by_class
        By the figure's name; and of each of several classes, NaN for one that the rows do not hold.
    """
    pairs = list(one_against_rest(codes, probability))
    areas, influence = np.full(len(pairs), np.nan), np.zeros((len(codes), len(pairs)))
    for column, (hits, score) in enumerate(pairs):
        if 0 < hits.sum() < len(hits):
            areas[column], influence[:, column] = influences(hits, score)
    by_class = [
        area_interval(float(area), of_class, codes) for area, of_class in zip(areas, influence.T, strict=True)
    ]
    if len(pairs) == 1:
        return {"roc_auc": by_class[0]}, []
    counts = np.bincount(codes, minlength=len(pairs))
    mean, mean_influence = averaged(areas, counts), averaged(influence, counts)
    overall = {
        name: area_interval(float(mean[kind]), mean_influence[kind], codes)
        for name, kind in (("roc_auc", "macro"), ("roc_auc_weighted", "weighted"))
    }
    return overall, by_class
