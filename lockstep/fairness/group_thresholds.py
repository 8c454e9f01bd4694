"""Thresholds for each group, chosen after training: fairlearn's ThresholdOptimizer, and what a server needs of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lockstep.bundle.decision import Group, Steps, groups_of
from lockstep.errors import DataError
from lockstep.fairness.methods import Constraint

_MAX_ROWS = 100_000
"""Rows that are looked at, at most."""

_MAX_COST = 20
_PRECISION = 1e-9

Labels = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


class Enough(NamedTuple):
    """What a group needs for thresholds of its own: rows, and positives and negatives where odds are to be equal."""

    rows: int
    of_class: int


def fit(
    labels: Labels,
    probability: Floats,
    sensitive: Mapping[str, npt.NDArray[Any]],
    constraint: Constraint,
    cost: float,
    enough: Enough,
    seed: int,
) -> tuple[dict[Group, Steps], Steps | None]:
    """Fit on rows that the model did not learn from.

    Parameters
    ----------
    labels, probability
        Of validation rows, shape (n,).
    sensitive
        Raw columns that tell the groups, of the same rows.
    constraint
        What is to be equal between groups.
    cost
        Of a missed positive in units of one false alarm; it counts as one of 1/20 to 20.
    enough
        Smaller groups, and rows that lack a feature, share thresholds.
    seed
        Of the choice of rows where there are more than 100,000.

    Returns
    -------
    groups, others
        Steps by group, and those of all other rows; None where these are too few as well.

    Raises
    ------
    DataError
        Fewer than two groups are large enough.
    """
    groups = groups_of(sensitive, list(sensitive))
    n_rows = Counter(groups)
    n_positive = Counter(group for group, label in zip(groups, labels, strict=True) if label)
    of_class = enough.of_class if constraint == "equalized_odds" else 1

    def large(rows: int, positives: int) -> bool:
        return rows >= enough.rows and min(positives, rows - positives) >= of_class

    known = sorted(g for g in n_rows if g is not None and large(n_rows[g], n_positive[g]))
    numbers = {group: number for number, group in enumerate(known)}
    rest = len(known)
    of_row = np.array([rest if group is None else numbers.get(group, rest) for group in groups])
    told = np.ones(len(labels), dtype=bool)
    others = of_row == rest
    pooled = large(int(others.sum()), int(labels[others].sum()))
    if not pooled:
        told &= ~others
    if len(known) + pooled < 2:
        raise DataError(
            f"debias.method thresholds compares groups, and of those of {list(sensitive)} fewer than two have "
            f"{enough.rows} validation rows and {of_class} of each class. Lower evaluate.min_group_rows, name other "
            "features in debias.protect, or choose another method."
        )
    rows = np.flatnonzero(told)
    if len(rows) > _MAX_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _MAX_ROWS, replace=False))
    steps = _optimized(labels[rows], probability[rows], of_row[rows], constraint, cost)
    return {group: steps[number] for group, number in numbers.items()}, steps.get(rest)


def _optimized(
    labels: Labels, probability: Floats, groups: npt.NDArray[np.int64], constraint: Constraint, cost: float
) -> dict[int, Steps]:
    from fairlearn.postprocessing import ThresholdOptimizer
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Given(ClassifierMixin, BaseEstimator):
        """The model: its answers are the features."""

        def fit(self) -> Given:
            self.fitted_ = True
            return self

        def predict(self, answers: Any) -> Any:
            return np.asarray(answers)[:, 0]

    rows, counted = _at_cost(labels, cost, constraint)
    optimizer = ThresholdOptimizer(
        estimator=Given().fit(),
        constraints=constraint,
        objective="accuracy_score",
        prefit=True,
        predict_method="predict",
    )
    optimizer.fit(probability[rows, None], counted.astype(int), sensitive_features=groups[rows])
    found = optimizer.interpolated_thresholder_.interpolation_dict
    return {int(group): _steps(interpolation) for group, interpolation in found.items()}


def _at_cost(labels: Labels, cost: float, constraint: Constraint) -> tuple[npt.NDArray[np.int64], Labels]:
    """Rows to repeat, and their labels, of which the accuracy counts a missed positive as `cost` false alarms.

    fairlearn has no cost. Rates within a class stay as they are when its rows are repeated, so for equal odds the
    positives are. Selection rates would not: there every row stands as often, and some copies of the rows of the class
    that counts for less have the other label, so that deciding about them matters less.
    """
    cost = min(max(cost, 1 / _MAX_COST), _MAX_COST)
    # Neither part above _MAX_COST: so many copies has a row, or twice as many.
    ratio = Fraction(cost).limit_denominator(min(3, int(_MAX_COST / cost)) if cost > 1 else _MAX_COST)
    positive, negative = ratio.numerator, ratio.denominator
    if constraint == "equalized_odds":
        rows = np.repeat(np.arange(len(labels)), np.where(labels, positive, negative))
        return rows, labels[rows]
    most = max(positive, negative)
    rows = np.repeat(np.arange(len(labels)), 2 * most)
    copies = np.tile(np.arange(2 * most), len(labels))
    return rows, copies < np.where(labels, most + positive, most - negative)[rows]


def _steps(interpolation: Any) -> Steps:
    """fairlearn's rule of one group: a mixture of two thresholds, and of that with a constant."""
    ends = sorted(
        (float(np.clip(operation.threshold, -1.0, 2.0)), float(share))
        for operation, share in (
            (interpolation.operation0, interpolation.p0),
            (interpolation.operation1, interpolation.p1),
        )
    )
    ignored = float(interpolation.get("p_ignore", 0.0))
    constant = ignored * float(interpolation.get("prediction_constant", 0.0))
    chances = (constant + (1.0 - ignored) * share for share in (0.0, ends[0][1], 1.0))
    return Steps(ends[0][0], ends[1][0], *map(_certain, chances))


def _certain(chance: float) -> float:
    """Without what rounding adds to or takes from 0 and 1, for which no coin is tossed."""
    return float(np.round(chance)) if abs(chance - np.round(chance)) < _PRECISION else chance
