"""The card's comparison with the champion, by the bundle that was served then."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from lockstep.bundle.contents import read_bundle
from lockstep.bundle.registry import Registry, registry_root
from lockstep.data.tables import raw_columns
from tests.recompute.figures import percentiles
from tests.recompute.run import Run

_MEASURES = {
    "roc_auc": roc_auc_score,
    "average_precision": average_precision_score,
    "brier": brier_score_loss,
}


def comparison(run: Run) -> dict[str, Any] | None:
    """`comparison` of the card; None where the model was compared with none."""
    held = run.card.get("comparison")
    if held is None:
        return None
    declared = run.params["deploy"]["champion"]
    if held["not_compared"]:
        n_rows, undecided = len(run.table("evaluate", "test")), "insufficient evidence"
        gates = [
            {"gate": f"champion:{n}", "threshold": declared[n], "n_rows": n_rows, "verdict": undecided}
            for n in _MEASURES
        ]
        return {"n_rows": n_rows, "gates": gates, "figures": None}
    registry = Registry(registry_root(run.folder / "registry"), run.params["deploy"]["name"])
    champion = read_bundle(registry.directory(held["version"]))
    test, scorer = run.table("evaluate", "test"), champion.scorer()
    answers = {
        "candidate": run.predictions["probability"].to_numpy(),
        "champion": scorer.probability(raw_columns(test, [column.name for column in scorer.encoder.inputs])),
    }
    labels = run.labels(test)
    strata, rng = [np.flatnonzero(labels == code) for code in (0, 1)], np.random.default_rng(run.seed)
    found: dict[str, Any] = {name: {model: [] for model in answers} for name in _MEASURES}
    rows = np.arange(len(labels))
    for _ in range(run.samples + 1):
        for name, measure in _MEASURES.items():
            for model, probability in answers.items():
                found[name][model].append(measure(labels[rows], probability[rows]))
        rows = np.concatenate(
            [of_class[rng.integers(0, len(of_class), len(of_class))] for of_class in strata]
        )
    judged = []
    for name, of_model in found.items():
        lead = np.array(of_model["champion"]) - np.array(of_model["candidate"])
        worse, most = -lead if name == "brier" else lead, declared[name]
        judged.append(
            {
                "gate": f"champion:{name}",
                "figure": float(worse[0]),
                "interval": percentiles(worse[1:]),
                "threshold": most,
                "n_rows": len(labels),
                "verdict": "pass" if worse[0] <= most else "fail",
            }
        )
    return {
        "champion": champion.manifest.candidate,
        "n_rows": len(labels),
        "gates": judged,
        "figures": {
            name: {model: float(draws[0]) for model, draws in of_model.items()}
            for name, of_model in found.items()
        },
    }
