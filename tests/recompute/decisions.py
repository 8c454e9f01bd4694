"""The decision threshold, and the rates of groups that follow from it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from fairlearn.metrics import (
    MetricFrame,
    count,
    demographic_parity_difference,
    equalized_odds_difference,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from sklearn.metrics import confusion_matrix

from tests.recompute.figures import point, wilson
from tests.recompute.run import Run

DIFFERENCES = {
    "demographic_parity_difference": (demographic_parity_difference, ("selection_rate",)),
    "equalized_odds_difference": (equalized_odds_difference, ("true_positive_rate", "false_positive_rate")),
}


def threshold(run: Run) -> dict[str, Any]:
    """`threshold` in reports/evaluation.json: the best one on the validation rows, with and without limits."""
    table = run.table("evaluate", "validation")
    labels, probability = run.labels(table), run.shipped.probability(run.raw(table))
    limits, reserve = {}, run.evaluate["parity_reserve"]
    if reserve is not None:
        gates = run.evaluate["gates"]["demographic_parity_difference"]
        limits = {
            feature: gates[feature] * (1 - reserve)
            for feature in run.sensitive
            if len(_large(run, run.groups(table, feature))) > 1
        }
    groups = {feature: run.groups(table, feature) for feature in limits}
    chosen = {
        "without_limits": _best(run, labels, probability, {}, {}),
        "chosen": _best(run, labels, probability, groups, limits),
    }
    return {
        "parity_limits": limits,
        "validation": {name: point(labels, probability, found) for name, found in chosen.items()},
    }


def _large(run: Run, names: Any) -> list[str]:
    return sorted(g for g, n in Counter(names).items() if n >= run.evaluate["min_group_rows"])


def _best(run: Run, labels: Any, probability: Any, groups: dict[str, Any], limits: dict[str, float]) -> float:
    """Try each threshold that decides rows differently, from the one that selects nobody."""
    scores = np.unique(probability)[::-1]
    between = [(2 - scores[0] + scores[0]) / 2, *((scores[:-1] + scores[1:]) / 2), scores[-1] / 2]
    best, found = -np.inf, 1.0
    of_group = []
    for feature, names in groups.items():
        of_group.append((limits[feature], [np.sort(probability[names == g]) for g in _large(run, names)]))
    positives = np.sort(probability[labels == 1])
    everybody = np.sort(probability)
    for candidate in between:
        rates = (
            (limit, [1 - np.searchsorted(group, candidate) / len(group) for group in parts])
            for limit, parts in of_group
        )
        if any(parts and max(parts) - min(parts) > limit for limit, parts in rates):
            continue
        selected = len(everybody) - np.searchsorted(everybody, candidate)
        hits = len(positives) - np.searchsorted(positives, candidate)
        alarms, missed = selected - hits, len(positives) - hits
        value = {
            "f1": 2 * hits / (2 * hits + alarms + missed),
            "accuracy": -float(alarms + missed),
            "cost": -float(alarms + run.evaluate["false_negative_cost"] * missed),
        }[run.evaluate["threshold_for"]]
        if value > best:
            best, found = value, candidate
    return float(found)


def fairness(run: Run, labels: Any, decisions: Any) -> dict[str, Any]:
    """`fairness` in reports/evaluation.json."""
    held = run.card["reports"]["evaluation"]["fairness"]
    return {
        feature: _audit(run, labels, decisions, names, [one["group"] for one in held[feature]["intervals"]])
        for feature, names in run.all_groups(run.table("evaluate", "test")).items()
    }


def rates(labels: Any, decisions: Any, groups: Any) -> dict[str, dict[str, float]]:
    """By group."""
    measures = {
        "n_rows": count,
        "n_positive": lambda y_true, y_pred: int(np.sum(y_true)),
        "selection_rate": selection_rate,
        "true_positive_rate": true_positive_rate,
        "false_positive_rate": false_positive_rate,
    }
    frame = MetricFrame(metrics=measures, y_true=labels, y_pred=decisions, sensitive_features=groups)
    return {str(name): row.to_dict() for name, row in frame.by_group.iterrows()}


def _audit(run: Run, labels: Any, decisions: Any, names: Any, order: list[str]) -> dict[str, Any]:
    by_group = rates(labels, decisions, names)
    together = run.evaluate["group_correction"] == "bonferroni"
    level = 1 - 0.05 / (len(by_group) if together else 1)
    return {
        "groups": by_group,
        "intervals": [
            {"group": name, **_intervals(labels[names == name], decisions[names == name], level)}
            for name in order
        ],
        "evidence": {
            name: _evidence(run, name, labels, decisions, names, by_group, together) for name in DIFFERENCES
        },
    }


def _intervals(labels: Any, decisions: Any, level: float) -> dict[str, Any]:
    (passed, alarms), (missed, hits) = confusion_matrix(labels, decisions, labels=[0, 1]).tolist()
    counts = {
        "selection_rate": (hits + alarms, len(labels)),
        "true_positive_rate": (hits, hits + missed),
        "false_positive_rate": (alarms, alarms + passed),
    }
    return {name: list(wilson(*of, level)) if of[1] else None for name, of in counts.items()}


def _evidence(
    run: Run, metric: str, labels: Any, decisions: Any, names: Any, by_group: dict[str, Any], together: bool
) -> dict[str, Any]:
    measure, compared = DIFFERENCES[metric]
    large = []
    for name in sorted(by_group):
        n, positive = by_group[name]["n_rows"], by_group[name]["n_positive"]
        told = (
            metric.startswith("demographic")
            or min(positive, n - positive) >= run.evaluate["min_group_positives"]
        )
        if n >= run.evaluate["min_group_rows"] and told:
            large.append(name)
    kept = np.isin(names, large)
    comparisons = max(len(large) * (len(large) - 1) // 2 * len(compared), 1) if together else 1
    found = {"n_rows": int(kept.sum()), "comparisons": comparisons}
    found["left_out"] = sorted(set(by_group) - set(large))
    if len(large) < 2:
        return {**found, "figure": None, "interval": None}
    figure = measure(y_true=labels[kept], y_pred=decisions[kept], sensitive_features=names[kept])
    return {
        **found,
        "figure": float(figure),
        "interval": _interval(run, compared, by_group, large, comparisons),
    }


def _interval(
    run: Run, compared: tuple[str, ...], by_group: dict[str, Any], large: list[str], comparisons: int
) -> list[float]:
    """Of the two groups furthest apart: right and wrong decisions of each drawn anew."""
    draws = min(run.samples * comparisons, 1_000_000)
    spread = {rate: np.ptp([by_group[name][rate] for name in large]) for rate in compared}
    widest = max(compared, key=spread.__getitem__)
    high = max(large, key=lambda name: by_group[name][widest])
    low = min(reversed(large), key=lambda name: by_group[name][widest])
    rng, ends = np.random.default_rng(run.seed), []
    for name in (high, low):
        group = by_group[name]
        positive, negative = group["n_positive"], group["n_rows"] - group["n_positive"]
        hits = rng.binomial(positive, group["true_positive_rate"], draws)
        alarms = rng.binomial(negative, group["false_positive_rate"], draws)
        ends.append(
            {
                "selection_rate": (hits + alarms) / group["n_rows"],
                "true_positive_rate": hits / max(positive, 1),
                "false_positive_rate": alarms / max(negative, 1),
            }[widest]
        )
    tail = 2.5 / comparisons
    return [max(0.0, float(bound)) for bound in np.percentile(ends[0] - ends[1], (tail, 100 - tail))]
