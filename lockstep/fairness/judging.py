"""Rates of groups and their differences with intervals, and gates about these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from lockstep.evaluation.bootstrap import Interval
from lockstep.evaluation.gates import Gate, judge, no_evidence
from lockstep.fairness.groups import Labels, accuracy_by_group, audit, differences

Codes = npt.NDArray[np.int64]
Groups = npt.NDArray[np.object_]
Correction = Literal["none", "bonferroni"]
Difference = Literal["demographic_parity_difference", "equalized_odds_difference"]

DIFFERENCES: tuple[Difference, ...] = ("demographic_parity_difference", "equalized_odds_difference")

_RATES: dict[Difference, tuple[str, ...]] = {
    "demographic_parity_difference": ("selection_rate",),
    "equalized_odds_difference": ("true_positive_rate", "false_positive_rate"),
}


_ERROR = 0.05
"""Of a 95 % interval."""

_MOST_DRAWS = 1_000_000


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
    correction
        ``bonferroni``: 95 % intervals hold for all comparisons together, each at 1 - 0.05 / m of m comparisons.
        ``none``: each holds for itself.
    """

    min_rows: int
    min_positives: int
    samples: int
    seed: int
    correction: Correction

    def comparisons(self, n: int) -> int:
        """How many of `n` comparisons an interval is to hold for."""
        return max(n, 1) if self.correction == "bonferroni" else 1


class Measured(NamedTuple):
    """A difference between the groups that are large enough to be evidence.

    Attributes
    ----------
    figure, interval
        The difference and its interval; None where fewer than two groups are large enough.
    n_rows
        Rows of those groups.
    left_out
        The other groups.
    comparisons
        How many comparisons the interval holds for together.
    """

    figure: float | None
    interval: Interval | None
    n_rows: int
    left_out: tuple[str, ...]
    comparisons: int


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


def audit_outcomes(outcomes: Sequence[Outcome], groups: Groups, evidence: Evidence) -> dict[str, Any]:
    """Rates and differences of groups.

    Returns
    -------
    dict
        ``groups`` and ``intervals`` of their rates; ``evidence`` has the differences between the groups that are large
        enough, with intervals. Of several classes ``groups`` has each group's accuracy, ``evidence`` the largest of the
        classes' differences, and ``classes`` the rates of each against the rest.
    """
    of_classes = {outcome.name: _audit(outcome, groups, evidence) for outcome in outcomes}
    measured = {name: measure_groups(name, outcomes, groups, evidence)._asdict() for name in DIFFERENCES}
    if len(outcomes) == 1:
        return {**of_classes[outcomes[0].name], "evidence": measured}
    right = np.any([held & chosen for _, held, chosen in outcomes], axis=0)
    return {
        "groups": accuracy_by_group(right, groups),
        "evidence": measured,
        "classes": of_classes,
    }


def _audit(outcome: Outcome, groups: Groups, evidence: Evidence) -> dict[str, Any]:
    by_group = audit(outcome.held, outcome.chosen, groups)
    level = 1.0 - _ERROR / evidence.comparisons(len(by_group))
    return {
        "groups": by_group,
        "intervals": [{"group": name, **_rate_intervals(g, level)} for name, g in by_group.items()],
    }


def _rate_intervals(group: Mapping[str, float], level: float) -> dict[str, Interval | None]:
    """Wilson's (1927) interval of each rate; None where the group has no row to tell it."""
    from scipy.stats import binomtest

    positives = int(group["n_positive"])
    rows = {
        "selection_rate": int(group["n_rows"]),
        "true_positive_rate": positives,
        "false_positive_rate": int(group["n_rows"]) - positives,
    }
    found: dict[str, Interval | None] = {}
    for rate, n in rows.items():
        chosen = round(group[rate] * n)
        bounds = binomtest(chosen, n).proportion_ci(level, method="wilson") if n else None
        found[rate] = (float(bounds.low), float(bounds.high)) if bounds else None
    return found


def measure_groups(
    metric: Difference, outcomes: Sequence[Outcome], groups: Groups, evidence: Evidence
) -> Measured:
    """Measure a difference between the groups that are large enough; of several classes the largest.

    Parameters
    ----------
    groups
        Name of each row's group, shape (n,).
    """
    found = [_measure(metric, outcome, groups, evidence, len(outcomes)) for outcome in outcomes]
    return max(found, key=lambda of_class: -1.0 if of_class.figure is None else of_class.figure)


def judge_groups(gate: str, threshold: float, measured: Measured) -> Gate:
    """Judge a difference between groups: at most `threshold`."""
    if measured.figure is None or measured.interval is None:
        return no_evidence(gate, threshold, measured.n_rows, measured.left_out)
    return judge(
        gate,
        measured.figure,
        measured.interval,
        threshold,
        "at most",
        measured.n_rows,
        measured.left_out,
    )


def _measure(
    metric: Difference, outcome: Outcome, groups: Groups, evidence: Evidence, n_classes: int
) -> Measured:
    by_group = audit(outcome.held, outcome.chosen, groups)
    judged = {name: g for name, g in by_group.items() if _is_evidence(g, metric, evidence)}
    rows, left_out = np.isin(groups, list(judged)), tuple(sorted(set(by_group) - set(judged)))
    n_rows, n_pairs = int(rows.sum()), len(judged) * (len(judged) - 1) // 2
    comparisons = evidence.comparisons(n_pairs * len(_RATES[metric]) * n_classes)
    if len(judged) < 2:
        return Measured(None, None, n_rows, left_out, comparisons)
    figure = differences(outcome.held[rows], outcome.chosen[rows], groups[rows])[metric]
    interval = difference_interval(
        metric, list(judged.values()), evidence.samples, evidence.seed, comparisons
    )
    return Measured(figure, interval, n_rows, left_out, comparisons)


def _is_evidence(group: Mapping[str, float], metric: Difference, evidence: Evidence) -> bool:
    if group["n_rows"] < evidence.min_rows:
        return False
    smaller = min(group["n_positive"], group["n_rows"] - group["n_positive"])
    return metric == "demographic_parity_difference" or smaller >= evidence.min_positives


def difference_interval(
    metric: Difference, table: Sequence[Mapping[str, float]], samples: int, seed: int, comparisons: int = 1
) -> Interval:
    """95 % interval of a difference between groups.

    It is that of the two groups that are furthest apart in the observed rows: the largest difference of each draw is
    never negative, so its percentiles would lie above a difference of nothing.

    Parameters
    ----------
    table
        A group each, as `lockstep.fairness.groups.audit` counts them. Given the classes, decisions of a group are two
        binomial draws, which is the bootstrap within group and class.
    samples
        Draws for each comparison, so that the outer percentiles of many are no rougher than those of one.
    comparisons
        How many comparisons it is to hold for together (Bonferroni).
    """
    draws = min(samples * comparisons, _MOST_DRAWS)
    observed = {rate: [group[rate] for group in table] for rate in _RATES[metric]}
    widest = max(observed, key=lambda rate: float(np.ptp(observed[rate])))
    rates = observed[widest]
    # Of equal groups the two ends differ: a group has no difference to itself.
    high, low = int(np.argmax(rates)), len(rates) - 1 - int(np.argmin(rates[::-1]))
    rng = np.random.default_rng(seed)
    highest, lowest = (_rate_draws(table[end], widest, draws, rng) for end in (high, low))
    tail = 50.0 * _ERROR / comparisons
    bounds = np.percentile(highest - lowest, (tail, 100.0 - tail))
    return max(0.0, float(bounds[0])), max(0.0, float(bounds[1]))


def _rate_draws(
    group: Mapping[str, float], rate: str, samples: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    positives, rows = int(group["n_positive"]), int(group["n_rows"])
    hits = rng.binomial(positives, group["true_positive_rate"], samples)
    alarms = rng.binomial(rows - positives, group["false_positive_rate"], samples)
    if rate == "selection_rate":
        return (hits + alarms) / rows
    return hits / max(positives, 1) if rate == "true_positive_rate" else alarms / max(rows - positives, 1)
