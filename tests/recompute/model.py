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
    together = _intercept(run, slope, labels, logits)
    heard = _are_as_others(run) and _contradiction(run, slope, (intercept, together), labels, logits) < 10.83
    return {
        "n_train": len(run.table("evaluate", "trained-on")),
        "n_validation": len(labels),
        "network": config,
        "parameters": int(sum(weights.size for weights in load(network).values())),
        "epochs": len(curve),
        "best_epoch": best["epoch"],
        # LiteRT rounds otherwise than Keras does: rows that are all but equal may change places.
        "best_val_average_precision": About(float(average_precision_score(labels, logits)), 2e-3),
        "calibration": {
            "slope": About(slope, 1e-2 * slope),
            "intercept": About(together if heard else intercept, 1e-2),
            "intercept_from": ["train", "validation"] if heard else ["validation"],
        },
    }


def _platt(run: Run, labels: Any, logits: Any) -> tuple[float, float]:
    """Platt's curve, fitted anew to the logits from before it was folded in."""
    twice, hits = np.tile(_before(run, logits), 2)[:, None], np.repeat([1, 0], len(labels))
    target = _targets(labels)
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    model.fit(twice, hits, sample_weight=np.concatenate([target, 1 - target]))
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def _before(run: Run, logits: Any) -> Any:
    told = run.card["reports"]["train"]["calibration"]
    return (logits - told["intercept"]) / told["slope"]


def _targets(labels: Any) -> Any:
    positive, negative = labels.sum(), (1 - labels).sum()
    return np.where(labels == 1, (positive + 1) / (positive + 2), 1 / (negative + 2))


def _intercept(run: Run, slope: float, labels: Any, logits: Any) -> float:
    """At which training and validation rows together are as often positive as they are said to be."""
    learned = run.table("evaluate", "trained-on")
    before = _before(run, np.concatenate([run.logits(run.floating, learned), logits]))
    wanted = _targets(np.concatenate([run.labels(learned), labels])).mean()
    return float(brentq(lambda shift: expit(slope * before + shift).mean() - wanted, -30.0, 30.0))


def _are_as_others(run: Run) -> bool:
    """Whether the training rows tell how common the classes are."""
    data, train = run.params["data"], run.params["train"]
    return (
        data["time_column"] is None
        and run.params["resample"]["method"] == "none"
        and run.params["debias"]["method"] in ("none", "drop", "correlation", "thresholds")
        and train["ensemble"] != "balanced_bagging"
        and not train["focal_gamma"]
        and not train["dp_noise_multiplier"]
    )


def _contradiction(
    run: Run, slope: float, intercepts: tuple[float, float], labels: Any, logits: Any
) -> float:
    """Likelihood ratio statistic of the second of two intercepts against the first, by the validation rows."""
    before, targets = slope * _before(run, logits), _targets(labels)
    alone, together = (
        np.sum(np.logaddexp(0, before + shift) - targets * (before + shift)) for shift in intercepts
    )
    return float(2 * (together - alone))


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
