"""The threshold at which a model decides, chosen on rows that it neither learned from nor is judged on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lockstep.evaluation.metrics import Floats, Labels

Purpose = Literal["f1", "accuracy", "cost"]


@dataclass(frozen=True)
class ParityLimit:
    """How far the selection rates of groups may lie apart.

    Attributes
    ----------
    groups : ndarray, shape (n,)
        Name of each row's group; None: a row that belongs to no group.
    largest_difference
        Of two groups' selection rates, in [0, 1].
    """

    groups: npt.NDArray[np.object_]
    largest_difference: float


def choose_threshold(
    labels: Labels,
    probability: Floats,
    purpose: Purpose,
    false_negative_cost: float,
    limits: Sequence[ParityLimit] = (),
) -> float:
    """Threshold that serves `purpose` best on n rows, of those that keep to every limit.

    One threshold holds for everybody, so that nobody's group is asked for; it lies where the groups' selection rates
    are near enough. To select nobody keeps to every limit.

    Parameters
    ----------
    labels, probability
        Of validation rows, shape (n,). Test rows would flatter.
    purpose
        Highest F1, highest accuracy, or lowest cost.
    false_negative_cost
        Cost of a missed positive in units of one false alarm; for ``cost``.
    """
    order = np.argsort(-probability, kind="stable")
    ranked, hits = probability[order], labels[order]
    # A threshold lies between different probabilities only: equal ones are decided alike.
    chosen = np.concatenate(([0], np.flatnonzero(np.diff(ranked)) + 1, [len(ranked)]))
    true_positives = np.concatenate(([0.0], np.cumsum(hits)))[chosen]
    false_positives = chosen - true_positives
    false_negatives = hits.sum() - true_positives
    value = {
        "f1": 2 * true_positives / (2 * true_positives + false_positives + false_negatives),
        "accuracy": -(false_positives + false_negatives),
        "cost": -(false_positives + false_negative_cost * false_negatives),
    }[purpose].astype(float)
    for limit in limits:
        value[_gaps(limit.groups[order], chosen) > limit.largest_difference] = -np.inf
    best = chosen[int(np.argmax(value))]
    # Nothing chosen: a threshold that no probability reaches.
    lowest = ranked[best - 1] if best else 2 - ranked[0]
    highest_below = ranked[best] if best < len(ranked) else 0.0
    return float((lowest + highest_below) / 2)


def _gaps(ranked: npt.NDArray[np.object_], chosen: npt.NDArray[Any]) -> Floats:
    """Largest difference of selection rates once the first `chosen` of the rows are selected."""
    rates = []
    for name in sorted({name for name in ranked if name is not None}):
        of_group = ranked == name
        rates.append(np.concatenate(([0.0], np.cumsum(of_group)))[chosen] / of_group.sum())
    return np.ptp(rates, axis=0) if rates else np.zeros(len(chosen))
