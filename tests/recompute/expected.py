"""The whole document of a card, as far as it can be recomputed, and why the rest cannot."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from tests.recompute import data, model
from tests.recompute.attacks import membership
from tests.recompute.champion import comparison
from tests.recompute.decisions import fairness, threshold
from tests.recompute.figures import intervals, on_curve, point, reliability
from tests.recompute.perturbed import robustness
from tests.recompute.reasons import alternatives, explanations
from tests.recompute.run import Run

OTHER_NETWORKS = "networks of their own gave it, which are gone"
NOT_RECOMPUTED = {
    r"/measured/.*": "a clock or the host gave it",
    r"/reports/training/.*": "training measured it in passing, with weights that no later epoch has",
    r"/reports/compress/candidates/[^/]+/.*": "a format that does not ship is not kept",
    r"/reports/(lira|learning_curve|cross_validation)/.*": OTHER_NETWORKS,
}

RANKING = ("roc_auc", "average_precision", "brier")
MEMBERSHIP = {
    "membership_inference": ("true_positive_rate", "interval"),
    "membership_inference_auc": ("roc_auc", "roc_auc_interval"),
}


def expected(run: Run) -> dict[str, Any]:
    """What the card of `run` should hold."""
    test, predictions = run.table("evaluate", "test"), run.predictions
    labels = run.labels(test)
    probability, decisions = (predictions[name].to_numpy() for name in ("probability", "decision"))
    np.testing.assert_array_equal(predictions["label"], labels)
    np.testing.assert_allclose(run.shipped.probability(run.raw(test)), probability, rtol=1e-6, atol=1e-9)
    chosen = threshold(run)
    at = chosen["validation"]["chosen"]["threshold"]
    np.testing.assert_array_equal(decisions, probability >= at)
    figures, fresh = point(labels, probability, at), data.unseen(run)
    explained, agreement = explanations(run)
    evaluation: dict[str, Any] = {
        "metrics": figures,
        "intervals": intervals(labels, probability, decisions, run.samples, run.seed),
        "threshold": chosen,
        "n_test": len(labels),
        "reliability": reliability(labels, probability),
        "unseen": {"n_test": int(fresh.sum()), "metrics": point(labels[fresh], probability[fresh], at)},
        "fairness": fairness(run, labels, decisions),
        "explanations": explained,
        "alternatives": alternatives(run),
        "membership": membership(run),
        "robustness": robustness(run),
    }
    evaluation["gates"] = _gates(run, evaluation, agreement)
    reports = run.card["reports"]
    roc, pr = (
        roc_curve(labels, probability, drop_intermediate=False),
        precision_recall_curve(labels, probability),
    )
    return {
        "reports": {
            "validate": data.validate(run),
            "split": data.split(run),
            "debias": data.debias(run),
            "resample": data.resample(run),
            "train": model.train(run),
            "compress": model.compress(run),
            "evaluation": evaluation,
            "metrics": {**figures, "n_test": len(labels)},
            "roc": on_curve(reports["roc"], "false_positive_rate", "true_positive_rate", (roc[0], roc[1])),
            "pr": on_curve(reports["pr"], "recall", "precision", (pr[1], pr[0])),
        },
        "comparison": comparison(run),
        "lineage": model.lineage(run),
    }


def _gates(run: Run, evaluation: dict[str, Any], agreement: dict[str, Any]) -> list[dict[str, Any]]:
    """Each gate of params.yaml, in the card's order."""
    declared = run.evaluate["gates"]
    found: dict[str, Any] = {}
    for name in RANKING:
        of_name = {"figure": evaluation["metrics"][name], "interval": evaluation["intervals"][name]}
        found[name] = {**of_name, "n_rows": evaluation["n_test"], "threshold": declared[name]}
    for name in ("demographic_parity_difference", "equalized_odds_difference"):
        for feature, most in declared[name].items():
            evidence = dict(evaluation["fairness"][feature]["evidence"][name])
            del evidence["comparisons"]
            found[f"{name}:{feature}"] = {**evidence, "threshold": most}
    found["explanation_agreement"] = {**agreement, "threshold": declared["explanation_agreement"]}
    attacked = evaluation["membership"]
    for name, (figure, interval) in MEMBERSHIP.items():
        if declared[name] is not None:
            n_rows = attacked["n_members"] + attacked["n_others"]
            found[name] = {"n_rows": n_rows, "threshold": declared[name]}
            if figure == "true_positive_rate":
                found[name]["at"] = attacked["false_positive_rate"]
            if "attacks" in attacked:
                worst = max(attacked["attacks"].values(), key=lambda attack: attack[figure])
                found[name] |= {"figure": worst[figure], "interval": worst[interval]}
    held_out = evaluation["robustness"]
    for kind, points in {**held_out["curves"], "shifted": held_out["shifted"]}.items():
        if kind == "shifted" and not run.sensitive:
            continue
        gate = declared["robustness"][kind]
        told = [one for one in points if one["strength"] == gate["at"] and one["lost"] is not None]
        of_gate = {"n_rows": held_out["n_rows"], "threshold": gate["loss"], "at": gate["at"]}
        found[f"robustness:{kind}"] = of_gate
        if told:
            worst = max(told, key=lambda one: one["lost"])
            found[f"robustness:{kind}"] |= {"figure": worst["lost"], "interval": worst["lost_interval"]}
    order = [gate["gate"] for gate in run.card["reports"]["evaluation"]["gates"]]
    missing = [name for name in found if name not in order]
    return [
        {"gate": name, **found.get(name, {}), **_verdict(name, found.get(name, {}))}
        for name in order + missing
    ]


def _verdict(name: str, gate: dict[str, Any]) -> dict[str, str]:
    figure = gate.get("figure")
    if figure is None:
        return {"verdict": "insufficient evidence"}
    value = getattr(figure, "value", figure)
    at_least = name in ("roc_auc", "average_precision", "explanation_agreement")
    kept = value >= gate["threshold"] if at_least else value <= gate["threshold"]
    return {"verdict": "pass" if kept else "fail"}
