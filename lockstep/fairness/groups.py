"""Rates by group of a sensitive feature, with fairlearn's measures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.bool_]
UNKNOWN, OTHER = "(missing)", "(other)"


def group_names(values: Sequence[Any], public: Sequence[str], min_rows: int) -> npt.NDArray[np.object_]:
    """Names to report the groups of n rows by, shape (n,).

    A category that is not `public`, or that fewer than `min_rows` rows share, is a person's value: those rows form one
    group, "(other)".
    """
    named = set(public) & {str(value) for value, rows in Counter(values).items() if rows >= min_rows}
    return np.array(
        [UNKNOWN if v is None else str(v) if str(v) in named else OTHER for v in values], dtype=object
    )


def base_rates(labels: Labels, groups: npt.NDArray[np.object_]) -> dict[str, Any]:
    """Share of positives by group, and fairlearn's demographic parity difference of the labels themselves.

    Parameters
    ----------
    labels
        True for the positive class, shape (n,).
    groups
        Name of each row's group, shape (n,).
    """
    from fairlearn.metrics import MetricFrame, count, demographic_parity_difference, selection_rate

    frame = MetricFrame(
        metrics={"n_rows": count, "positive_share": selection_rate},
        y_true=labels,
        y_pred=labels,
        sensitive_features=groups,
    )
    return {
        "groups": _by_group(frame),
        "demographic_parity_difference": float(
            demographic_parity_difference(labels, labels, sensitive_features=groups)
        ),
    }


def audit(labels: Labels, decisions: Labels, groups: npt.NDArray[np.object_]) -> dict[str, dict[str, float]]:
    """Selection, true positive and false positive rate by group.

    Parameters
    ----------
    labels, decisions
        True for the positive class, and for a positive decision; shape (n,).
    groups
        Name of each row's group, shape (n,).

    Returns
    -------
    dict
        By group: n_rows, n_positive, selection_rate, true_positive_rate and false_positive_rate in [0, 1] (0 where the
        group has no row of that class: look at the counts).
    """
    from fairlearn.metrics import MetricFrame, count, false_positive_rate, selection_rate, true_positive_rate

    def n_positive(y_true: Labels, y_pred: Labels) -> int:
        return int(np.sum(y_true))

    frame = MetricFrame(
        metrics={
            "n_rows": count,
            "n_positive": n_positive,
            "selection_rate": selection_rate,
            "true_positive_rate": true_positive_rate,
            "false_positive_rate": false_positive_rate,
        },
        y_true=labels.astype(int),
        y_pred=decisions.astype(int),
        sensitive_features=groups,
    )
    return _by_group(frame)


def differences(labels: Labels, decisions: Labels, groups: npt.NDArray[np.object_]) -> dict[str, float]:
    """Demographic parity and equalized odds difference, in [0, 1], as fairlearn defines them."""
    from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference

    return {
        "demographic_parity_difference": float(
            demographic_parity_difference(labels, decisions, sensitive_features=groups)
        ),
        "equalized_odds_difference": float(
            equalized_odds_difference(labels, decisions, sensitive_features=groups)
        ),
    }


def _by_group(frame: Any) -> dict[str, dict[str, float]]:
    return {
        str(group): {
            name: int(value) if name.startswith("n_") else float(value) for name, value in row.items()
        }
        for group, row in frame.by_group.iterrows()
    }
