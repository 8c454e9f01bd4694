"""The network and its formats."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from safetensors.numpy import load
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from tests.recompute.compare import About
from tests.recompute.run import Run


def train(run: Run) -> dict[str, Any]:
    """Reports/train.json."""
    network = run.content("evaluate", "network")
    length = int.from_bytes(network[:8], "little")
    config = json.loads(json.loads(network[8 : 8 + length])["__metadata__"]["network.json"])
    validation, curve = run.table("evaluate", "validation"), run.card["reports"]["training"]
    labels, logits = run.labels(validation), run.logits(run.floating, validation)
    best = max(curve, key=lambda row: (row["val_average_precision"], -row["val_loss"]))
    slope, intercept = _platt(run, labels, logits)
    if run.card["reports"]["train"]["calibration"]["intercept_from"] == ["train", "validation"]:
        intercept = _intercept(run, slope, labels, logits)
    return {
        "n_train": len(run.table("evaluate", "trained-on")),
        "n_validation": len(labels),
        "network": config,
        "parameters": int(sum(weights.size for weights in load(network).values())),
        "epochs": len(curve),
        "best_epoch": best["epoch"],
        # LiteRT rounds otherwise than Keras does: rows that are all but equal may change places.
        "best_val_average_precision": About(float(average_precision_score(labels, logits)), 2e-3),
        "calibration": {"slope": About(slope, 1e-2 * slope), "intercept": About(intercept, 1e-2)},
    }


def _platt(run: Run, labels: Any, logits: Any) -> tuple[float, float]:
    """Platt's curve, fitted anew to the logits from before it was folded in."""
    told = run.card["reports"]["train"]["calibration"]
    before = ((logits - told["intercept"]) / told["slope"])[:, None]
    positive, negative = labels.sum(), (1 - labels).sum()
    target = np.where(labels == 1, (positive + 1) / (positive + 2), 1 / (negative + 2))
    twice, hits = np.concatenate([before, before]), np.repeat([1, 0], len(labels))
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    model.fit(twice, hits, sample_weight=np.concatenate([target, 1 - target]))
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def _intercept(run: Run, slope: float, labels: Any, logits: Any) -> float:
    """At which training and validation rows together are as often positive as they are said to be."""
    told, learned = run.card["reports"]["train"]["calibration"], run.table("evaluate", "trained-on")
    together = np.concatenate([run.logits(run.floating, learned), logits])
    before = (together - told["intercept"]) / told["slope"]
    positive = np.concatenate([run.labels(learned), labels]).mean()
    return float(brentq(lambda shift: expit(slope * before + shift).mean() - positive, -30.0, 30.0))


def compress(run: Run) -> dict[str, Any]:
    """Reports/compress.json, of the two formats that are kept."""
    shipped = run.card["reports"]["compress"]["shipped"]
    validation = run.table("evaluate", "validation")
    labels = run.labels(validation)
    kept = {"float32": ("reference", run.floating), shipped: ("model", run.shipped)}
    sizes = {name: len(run.content("evaluate", argument)) for name, (argument, _) in kept.items()}
    figures = {}
    for name, (_, scorer) in kept.items():
        probability = scorer.probability(run.raw(validation))
        figures[name] = {
            "roc_auc": float(roc_auc_score(labels, probability)),
            "average_precision": float(average_precision_score(labels, probability)),
            "brier": float(brier_score_loss(labels, probability)),
        }
    return {
        "candidates": {
            name: {
                "bytes": sizes[name],
                "size_ratio": round(sizes[name] / sizes["float32"], 4),
                "validation": figures[name],
                "change": {what: value - figures["float32"][what] for what, value in figures[name].items()},
            }
            for name in kept
        }
    }


def lineage(run: Run) -> dict[str, Any]:
    """Sizes of the files and parameters that dvc.lock recorded."""
    held = run.card["lineage"]
    artifacts, parameters = held["artifacts"] or {}, held["parameters"] or {}
    sizes = {path: {"bytes": (run.folder / path).stat().st_size} for path in artifacts}
    values = {}
    for name in parameters:
        value: Any = run.params
        for part in name.split("."):
            value = value[part] if isinstance(value, dict) else None
        if not isinstance(value, dict | str):
            values[name] = value
    return {"artifacts": sizes, "parameters": values}
