"""Membership inference: the rows that are attacked, and what the attacks find."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.stats import beta, binom
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_curve

from tests.recompute.compare import About
from tests.recompute.figures import delong
from tests.recompute.run import AUDIT, MADE, Run


def membership(run: Run) -> dict[str, Any]:
    """`membership` in reports/evaluation.json."""
    rate, seed = run.evaluate["attack_false_positive_rate"], run.seed
    trained_on, test = run.table("evaluate", "trained-on"), run.table("evaluate", "test")
    validation = run.table("evaluate", "validation")
    real = trained_on.filter(pa.array(~np.asarray(trained_on[MADE])))
    names = [column.name for column in run.encoder.inputs]
    names = [name if name in real.column_names else AUDIT + name for name in names]
    frames = [table.select(names).to_pandas() for table in (real, validation, test)]
    keys = pd.util.hash_pandas_object(pd.concat(frames, ignore_index=True), index=False).to_numpy()
    known, asked = keys[: -len(test)], keys[-len(test) :]
    times = pd.Series(known).value_counts()
    members = np.flatnonzero(times[known[: len(real)]].to_numpy() == 1)
    others = np.flatnonzero(~np.isin(asked, known))
    members, others = _matched(
        run, run.labels(real)[members], run.labels(test)[others], np.random.default_rng(seed), members, others
    )
    counts = {"false_positive_rate": rate, "n_members": len(members), "n_others": len(others)}
    if not _told(len(members), len(others), rate):
        return counts
    parts = real.take(members), test.take(others)
    losses = [_loss(run.labels(part), run.shipped.probability(run.raw(part))) for part in parts]
    stranger = LogisticRegression(max_iter=300).fit(run.indicators(validation), run.labels(validation))
    of_stranger = [
        _loss(run.labels(part), stranger.predict_proba(run.indicators(part))[:, 1]) for part in parts
    ]
    scores = {
        "loss": [-loss for loss in losses],
        "calibrated_loss": [theirs - loss for theirs, loss in zip(of_stranger, losses, strict=True)],
    }
    attacks = {name: _attack(*found, rate, 2) for name, found in scores.items()}
    _about(attacks["calibrated_loss"]["roc"], len(members))
    judged = max(attacks, key=lambda name: attacks[name]["true_positive_rate"])
    by_group = {feature: _by_group(run, parts, scores[judged], feature, rate) for feature in run.sensitive}
    if judged == "calibrated_loss":
        for of_feature in by_group.values():
            _about_groups(of_feature["groups"])
    return {**counts, "judged": judged, "attacks": attacks, "by_group": by_group}


def _matched(
    run: Run, of_members: Any, of_others: Any, rng: np.random.Generator, members: Any, others: Any
) -> tuple[Any, Any]:
    """As many rows as may be attacked; members have the class shares of the others."""
    limit = run.evaluate["attacked_rows"]
    drawn = rng.permutation(len(others))[:limit]
    shares = [float(np.mean(of_others[drawn] == code)) for code in (0, 1)]
    most = min([limit, *(np.sum(of_members == c) / share for c, share in enumerate(shares) if share)])
    chosen = [
        rng.permutation(np.flatnonzero(of_members == code))[: int(most * share + 1e-9)]
        for code, share in enumerate(shares)
    ]
    return members[np.sort(np.concatenate(chosen))], others[np.sort(drawn)]


def _told(n_members: int, n_others: int, rate: float) -> bool:
    return round(min(n_members, n_others) * rate, 6) >= 10


def _loss(labels: Any, probability: Any) -> Any:
    own = np.where(labels == 1, probability, 1 - probability)
    return -np.log(np.maximum(own, np.finfo(float).eps))


def _attack(members: Any, others: Any, rate: float, comparisons: int) -> dict[str, Any]:
    hits = np.repeat([1, 0], [len(members), len(others)])
    x, y, _ = roc_curve(hits, np.concatenate([members, others]), drop_intermediate=False)
    area, interval = delong(members, others)
    rates = np.geomspace(1 / len(others), 1, 40)
    return {
        "true_positive_rate": float(np.interp(rate, x, y)),
        "interval": _interval(x, y, len(members), len(others), rate, comparisons),
        "roc_auc": area,
        "roc_auc_interval": interval,
        "roc": [
            {"false_positive_rate": float(at), "true_positive_rate": float(np.interp(at, x, y))}
            for at in rates
        ],
    }


def _about(roc: list[dict[str, Any]], n_members: int) -> None:
    """The stranger is fitted once more: its last digits may put one member before or behind another row."""
    for point in roc:
        point["true_positive_rate"] = About(point["true_positive_rate"], 1.5 / n_members)


def _about_groups(groups: dict[str, dict[str, Any]]) -> None:
    """The same of few rows, where a pair that changes places is seen in the area too."""
    for figures in groups.values():
        n_members, n_pairs = figures["n_members"], figures["n_members"] * figures["n_others"]
        figures["true_positive_rate"] = About(figures["true_positive_rate"], 1.5 / n_members)
        figures["roc_auc"] = About(figures["roc_auc"], 10 / n_pairs)
        figures["roc_auc_interval"] = [About(bound, 20 / n_pairs) for bound in figures["roc_auc_interval"]]


def _interval(x: Any, y: Any, n_members: int, n_others: int, rate: float, comparisons: int) -> list[float]:
    """Half of the error for where the rate's threshold lies (binomial), half for the members beyond it (beta)."""
    tail = 0.05 / comparisons / 4
    fewest, most = binom.ppf([tail, 1 - tail], n_others, rate)
    ends = np.clip([(fewest - 1) / n_others, most / n_others], 0, 1)
    low, high = np.interp(ends, x, y) * n_members
    low, high = int(np.floor(low)), int(np.ceil(high))
    return [
        float(beta.ppf(tail, low, n_members - low + 1)) if fewest >= 1 and low else 0.0,
        float(beta.ppf(1 - tail, high + 1, n_members - high)) if high < n_members else 1.0,
    ]


def _by_group(run: Run, parts: Any, scores: Any, feature: str, rate: float) -> dict[str, Any]:
    of_rows = [run.groups(part, feature) for part in parts]
    names = sorted({*of_rows[0], *of_rows[1]})
    large = [name for name in names if _told(*(int(np.sum(of == name)) for of in of_rows), rate)]
    found = {}
    for name in large:
        members, others = (score[of == name] for score, of in zip(scores, of_rows, strict=True))
        figures = _attack(members, others, rate, 2 * len(large))
        del figures["roc"]
        found[name] = {"n_members": len(members), "n_others": len(others), **figures}
    return {"groups": found, "left_out": [name for name in names if name not in large]}
