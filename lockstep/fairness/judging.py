"""Gates about groups: the difference in a rate between groups against its threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from lockstep.evaluation.bootstrap import Interval, percentiles
from lockstep.evaluation.gates import Gate, judge, no_evidence
from lockstep.fairness.groups import Labels, accuracy_by_group, audit, differences

Codes = npt.NDArray[np.int64]
Groups = npt.NDArray[np.object_]
Difference = Literal["demographic_parity_difference", "equalized_odds_difference"]

DIFFERENCES: tuple[Difference, ...] = ("demographic_parity_difference", "equalized_odds_difference")

_RATES: dict[Difference, tuple[str, ...]] = {
    "demographic_parity_difference": ("selection_rate",),
    "equalized_odds_difference": ("true_positive_rate", "false_positive_rate"),
}


class Outcome(NamedTuple):
    """A class against the rest: masks of the rows that have it and of those that are decided as it, shape (n,) each."""

    name: str
    held: Labels
    chosen: Labels


class Evidence(NamedTuple):
    """What a gate about groups needs.

    Attributes
    ----------
    min_rows
        Rows below which a group's rates are no evidence.
    min_positives
        The same of positives and of negatives, for rates among these.
    samples, seed
        Draws of the bootstrap, and what they follow from.
    """

    min_rows: int
    min_positives: int
    samples: int
    seed: int


def outcomes_of(codes: Codes, decisions: Codes, classes: Sequence[str]) -> list[Outcome]:
    """Outcome of the positive class of two, or of each of several.

    Parameters
    ----------
    codes, decisions
        Number of each row's class, and of that which it gets; shape (n,).
    classes
        Labels by number.
    """
    numbers = [1] if len(classes) == 2 else range(len(classes))
    return [Outcome(classes[i], codes == i, decisions == i) for i in numbers]


def audit_outcomes(outcomes: Sequence[Outcome], groups: Groups) -> dict[str, Any]:
    """Rates and differences of groups.

    Returns
    -------
    dict
        ``groups`` and both differences. Of several classes ``groups`` has each one's accuracy, the differences are the
        largest of the classes', and ``classes`` has rates and differences of each against the rest.
    """
    of_classes: dict[str, dict[str, Any]] = {
        name: {"groups": audit(held, chosen, groups), **differences(held, chosen, groups)}
        for name, held, chosen in outcomes
    }
    if len(outcomes) == 1:
        return of_classes[outcomes[0].name]
    right = np.any([held & chosen for _, held, chosen in outcomes], axis=0)
    return {
        "groups": accuracy_by_group(right, groups),
        **{name: max(found[name] for found in of_classes.values()) for name in DIFFERENCES},
        "classes": of_classes,
    }


def judge_groups(
    gate: str,
    metric: Difference,
    threshold: float,
    outcomes: Sequence[Outcome],
    groups: Groups,
    evidence: Evidence,
) -> Gate:
    """Judge the difference between the groups that are large enough to be evidence.

    Of several classes each is judged against the rest, and that of the largest difference counts.

    Parameters
    ----------
    gate
        Its name.
    metric
        Which difference.
    groups
        Name of each row's group, shape (n,).
    """
    found = [_judge(gate, metric, threshold, outcome, groups, evidence) for outcome in outcomes]
    return max(found, key=lambda of_class: -1.0 if of_class.figure is None else of_class.figure)


def _judge(
    gate: str, metric: Difference, threshold: float, outcome: Outcome, groups: Groups, evidence: Evidence
) -> Gate:
    by_group = audit(outcome.held, outcome.chosen, groups)
    judged = {name: g for name, g in by_group.items() if _is_evidence(g, metric, evidence)}
    rows, left_out = np.isin(groups, list(judged)), sorted(set(by_group) - set(judged))
    n_rows = int(rows.sum())
    if len(judged) < 2:
        return no_evidence(gate, threshold, n_rows, left_out)
    figure = differences(outcome.held[rows], outcome.chosen[rows], groups[rows])[metric]
    interval = difference_interval(metric, list(judged.values()), evidence.samples, evidence.seed)
    return judge(gate, figure, interval, threshold, "at most", n_rows, left_out)


def _is_evidence(group: Mapping[str, float], metric: Difference, evidence: Evidence) -> bool:
    if group["n_rows"] < evidence.min_rows:
        return False
    smaller = min(group["n_positive"], group["n_rows"] - group["n_positive"])
    return metric == "demographic_parity_difference" or smaller >= evidence.min_positives


def difference_interval(
    metric: Difference, table: Sequence[Mapping[str, float]], samples: int, seed: int
) -> Interval:
    """95 % interval of a difference between groups.

    It is that of the two groups that are furthest apart in the observed rows: the largest difference of each draw is
    never negative, so its percentiles would lie above a difference of nothing.

    Parameters
    ----------
    table
        A group each, as `lockstep.fairness.groups.audit` counts them. Given the classes, decisions of a group are two
        binomial draws, which is the bootstrap within group and class.
    """
    observed = {rate: [group[rate] for group in table] for rate in _RATES[metric]}
    widest = max(observed, key=lambda rate: float(np.ptp(observed[rate])))
    rates = observed[widest]
    # Of equal groups the two ends differ: a group has no difference to itself.
    high, low = int(np.argmax(rates)), len(rates) - 1 - int(np.argmin(rates[::-1]))
    rng = np.random.default_rng(seed)
    highest, lowest = (_rate_draws(table[end], widest, samples, rng) for end in (high, low))
    bounds = percentiles(highest - lowest)
    return max(0.0, bounds[0]), max(0.0, bounds[1])


def _rate_draws(
    group: Mapping[str, float], rate: str, samples: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    positives, rows = int(group["n_positive"]), int(group["n_rows"])
    hits = rng.binomial(positives, group["true_positive_rate"], samples)
    alarms = rng.binomial(rows - positives, group["false_positive_rate"], samples)
    if rate == "selection_rate":
        return (hits + alarms) / rows
    return hits / max(positives, 1) if rate == "true_positive_rate" else alarms / max(rows - positives, 1)
