"""A small document of a run, for the tests of the card."""

from __future__ import annotations

from typing import Any

NETWORK = {
    "n_codes": 120, "n_coded": 3, "numeric_width": 12, "hidden": [64, 32], "n_outputs": 1, "embedding_dim": 8,
    "dropout": 0.3, "normalization": "batch", "members": 2,
}  # fmt: skip
GATES = [
    {"gate": "roc_auc", "verdict": "pass", "figure": 0.95, "interval": [0.94, 0.96], "threshold": 0.9,
     "direction": "at least", "n_rows": 1200, "left_out": []},
    {"gate": "brier", "verdict": "fail", "figure": 0.2, "interval": [0.19, 0.21], "threshold": 0.1,
     "direction": "at most", "n_rows": 1200, "left_out": []},
    {"gate": "equalized_odds_difference:sex", "verdict": "insufficient evidence", "figure": None, "interval": None,
     "threshold": 0.1, "direction": "at most", "n_rows": 30, "left_out": ["Other"]},
]  # fmt: skip


def document(**changes: Any) -> dict[str, Any]:
    """A run with one report of each stage that the card knows; `changes` replace top-level keys."""
    rates = {
        "n_rows": 600, "n_positive": 60, "selection_rate": 0.1, "true_positive_rate": 0.5, "false_positive_rate": 0.02,
    }  # fmt: skip
    bounds = {"selection_rate": [0.05, 0.15], "true_positive_rate": None, "false_positive_rate": [0.01, 0.03]}
    apart = {"figure": 0.1625, "interval": [0.1, 0.2], "n_rows": 600, "left_out": ["Other"], "comparisons": 3}
    change = {"average_precision": -0.001, "brier": 0.0}
    candidate = {"bytes": 1000, "size_ratio": 0.3, "change": change, "within_tolerance": True}
    curve = [{"false_positive_rate": i / 20, "true_positive_rate": (i / 20) ** 0.5} for i in range(21)]
    return {
        "format": "lockstep-card/1",
        "created": "2026-01-02T03:04:05+00:00",
        "model": {"name": "loans", "project": "loans-1", "target": "defaulted", "positive": "yes"},
        "card": {
            "intended_use": "Ranking of <applications>",
            "out_of_scope": None,
            "owner": None,
            "contact": None,
        },
        "reports": {
            "validate": {
                "n_rows": 6000,
                "n_columns": 9,
                "n_expectations": 30,
                "n_failed": 0,
                "results": [{}],
            },
            "split": {
                "train": {"n_rows": 4000, "n_positive": 400},
                "test": {"n_rows": 1200, "n_positive": 120},
            },
            "debias": {"associations": {"age": {"sex": 0.1}}, "sensitive_dropped": ["sex"]},
            "resample": {"method": "none"},
            "train": {"features": ["age", "<b>job"], "network": NETWORK, "parameters": 4321, "epochs": 3},
            "training": [{"epoch": i, "loss": 1 / i, "val_average_precision": 1 - 1 / i} for i in (1, 2, 3)],
            "compress": {"shipped": "int8", "candidates": {"int8": candidate}},
            "evaluation": {
                "candidate": "ab" * 32,
                "verdict": "fail",
                "gates": GATES,
                "metrics": {"roc_auc": 0.95, "threshold": 0.5},
                "intervals": {"roc_auc": [0.94, 0.96]},
                "reliability": [
                    {"mean_probability": i / 10, "share": i / 11, "n_rows": 120} for i in range(1, 11)
                ],
                "n_test": 1200,
                "unseen": {"n_test": 1100, "metrics": {"roc_auc": 0.94}},
                "fairness": {
                    "sex": {
                        "groups": {"Female": rates, "Male": rates},
                        "intervals": [{"group": name, **bounds} for name in ("Female", "Male")],
                        "evidence": {"equalized_odds_difference": apart},
                    }
                },
            },
            "roc": curve,
            "pr": [{"recall": i / 20, "precision": 1 - i / 40} for i in range(21)],
        },
        "measured": {"train": {"seconds": 12.5}, "compress": {"microseconds_per_row": {"int8": 3.2}}},
        "lineage": {
            "runs": [
                {
                    "stages": ["train", "evaluate"],
                    "git_revision": "c0ffee",
                    "uncommitted_changes": False,
                    "versions": {"python": "3.11.9"},
                }
            ],
            "not_recorded": ["split"],
            "revision_of_the_card": "c0ffee",
            "key_id": "0123",
            "artifacts": {"models/shipped.sealed": {"stage": "compress", "md5": "d41d8", "bytes": 1000}},
            "parameters": {"train.epochs": 3},
        },
        **changes,
    }
