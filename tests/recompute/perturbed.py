"""Robustness: what the kept answers to perturbed rows cost beside those to the rows as they were."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score

from tests.recompute.figures import percentiles
from tests.recompute.run import Run

KINDS = ("noise", "missing", "swapped", "fgsm", "pgd", "flips")


def robustness(run: Run) -> dict[str, Any]:
    """`robustness` in reports/evaluation.json."""
    test, predictions = run.table("evaluate", "test"), run.predictions
    rows = run.drawn(len(test), run.evaluate["explained_rows"])
    labels = predictions["label"].to_numpy()[rows]
    weights = _weights(labels, run.samples, run.seed)
    probability, decisions = (predictions[name].to_numpy()[rows] for name in ("probability", "decision"))
    before = _areas(labels, probability, weights)
    curves: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for kind in KINDS:
        for strength in strengths(run, kind):
            answers = predictions[[f"{kind}:{strength:g}:{what}" for what in ("probability", "decision")]]
            if set(np.flatnonzero(answers.notna().all(axis=1))) != set(rows):
                continue
            after = _areas(labels, answers.iloc[rows, 0].to_numpy(), weights)
            changed = (answers.iloc[rows, 1].to_numpy() != decisions) @ weights / len(labels)
            curves[kind].append(
                {
                    "strength": strength,
                    **_both("average_precision", after["average_precision"]),
                    **_both("roc_auc", after["roc_auc"]),
                    **_both("changed_decisions", changed),
                    **_lost(before["average_precision"], after["average_precision"], labels.mean()),
                }
            )
    shifted = []
    for feature in run.sensitive:
        names = run.groups(test.take(rows), feature)
        for name in sorted(g for g, n in Counter(names).items() if n >= run.evaluate["min_group_rows"]):
            for odds in strengths(run, "shifted"):
                after = _areas(labels, probability, weights * np.where(names == name, odds, 1)[:, None])
                found = {"feature": feature, "group": name, "strength": odds}
                found |= _both("average_precision", after["average_precision"])
                found |= _both("roc_auc", after["roc_auc"])
                shifted.append(found | _lost(before["roc_auc"], after["roc_auc"], 0.5))
    return {
        "n_rows": len(rows),
        **_columns(run),
        "unperturbed": {
            **_both("average_precision", before["average_precision"]),
            **_both("roc_auc", before["roc_auc"]),
        },
        "curves": curves,
        "shifted": shifted,
    }


def strengths(run: Run, kind: str) -> list[float]:
    return sorted({*run.evaluate["robustness"][kind], run.evaluate["gates"]["robustness"][kind]["at"]})


def _weights(labels: Any, samples: int, seed: int) -> Any:
    """How often each row is drawn: once, then as the bootstrap draws it within its class."""
    rng, weights = np.random.default_rng(seed), np.ones((len(labels), samples + 1))
    for code in (0, 1):
        rows = np.flatnonzero(labels == code)
        weights[rows, 1:] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=samples).T
    return weights


def _areas(labels: Any, probability: Any, weights: Any) -> dict[str, Any]:
    return {
        name: np.array([measure(labels, probability, sample_weight=of_draw) for of_draw in weights.T])
        for name, measure in (("average_precision", average_precision_score), ("roc_auc", roc_auc_score))
    }


def _both(name: str, draws: Any) -> dict[str, Any]:
    return {name: float(draws[0]), f"{name}_interval": percentiles(draws[1:])}


def _lost(before: Any, after: Any, by_chance: float) -> dict[str, Any]:
    better = before - by_chance
    if better[0] <= 1e-9:
        return {"lost": None, "lost_interval": None}
    return _both("lost", np.where(better > 1e-9, (before - after) / np.where(better > 1e-9, better, 1), 0))


def _columns(run: Run) -> dict[str, int]:
    """Columns of amounts and of choices: numbers that over a twentieth of the training rows share are marks."""
    raw = run.raw(run.table("evaluate", "train"))
    found = {"n_amounts": 0, "n_choices": 0}
    for column in run.encoder.columns:
        counts = pd.Series(raw[column.name]).value_counts()
        free = counts[counts <= 0.05 * counts.sum()]
        if column.kind == "numeric" and len(free) > 1:
            found["n_amounts"] += 1
        elif len(counts) > 1:
            found["n_choices"] += 1
    return found
