"""Rates by group of a sensitive feature, with fairlearn's measures."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Labels = npt.NDArray[np.bool_]
UNKNOWN, OTHER = "(missing)", "(other)"


def group_names(values: Collection[Any], public: Sequence[str], min_rows: int) -> npt.NDArray[np.object_]:
    """Names to report the groups of n rows by, shape (n,).

    A category that is not `public`, or that fewer than `min_rows` rows share, is a person's value: those rows form one
    group, "(other)".
    """
    named = set(public) & {str(value) for value, rows in Counter(values).items() if rows >= min_rows}
    return np.array(
        [UNKNOWN if v is None else str(v) if str(v) in named else OTHER for v in values], dtype=object
    )


def intersections(names: Sequence[Iterable[Any]], min_rows: int) -> npt.NDArray[np.object_]:
    """Groups of n rows by several sensitive features at once, shape (n,); those of fewer than `min_rows` rows are one.

    Parameters
    ----------
    names
        Of each sensitive feature the group of each of the n rows.
    """
    # A name once, for there are as many as rows.
    joined = [sys.intern(" & ".join(map(str, row))) for row in zip(*names, strict=True)]
    counts = Counter(joined)
    return np.array([name if counts[name] >= min_rows else OTHER for name in joined], dtype=object)


def base_rates(
    codes: npt.NDArray[np.int64], classes: Sequence[str], groups: npt.NDArray[np.object_]
) -> dict[str, Any]:
    """Share of the positive class, or of each of several, by group, and the difference between groups.

    Parameters
    ----------
    codes
        Number of each row's class, shape (n,).
    classes
        Labels by number; of two the positive one is last.
    groups
        Name of each row's group, shape (n,).

    Returns
    -------
    dict
        ``groups``, and fairlearn's demographic parity difference of the labels themselves; of several classes the
        largest.
    """
    several = len(classes) > 2
    shares: dict[str, dict[str, Any]] = {}
    gaps = []
    for code, name in enumerate(classes):
        if not several and code == 0:
            continue
        labels = codes == code
        gaps.append(differences(labels, labels, groups)["demographic_parity_difference"])
        for group, found in audit(labels, labels, groups).items():
            of_group = shares.setdefault(group, {"n_rows": found["n_rows"]})
            if several:
                of_group.setdefault("shares", {})[name] = found["selection_rate"]
            else:
                of_group["positive_share"] = found["selection_rate"]
    return {"groups": shares, "demographic_parity_difference": max(gaps)}


def accuracy_by_group(right: Labels, groups: npt.NDArray[np.object_]) -> dict[str, dict[str, float]]:
    """Rows and share of right decisions of each group; `right` has the shape (n,)."""
    names, of_row = np.unique(groups.astype(str), return_inverse=True)
    rows = np.bincount(of_row)
    shares = np.bincount(of_row, right) / rows
    return {
        str(name): {"n_rows": int(n), "accuracy": float(share)}
        for name, n, share in zip(names, rows, shares, strict=True)
    }


def audit(labels: Labels, decisions: Labels, groups: npt.NDArray[np.object_]) -> dict[str, dict[str, float]]:
    """Selection, true positive and false positive rate by group, by fairlearn's MetricFrame.

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
    from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate

    metrics = {
        "n_rows": lambda y_true, y_pred, sample_weight: np.sum(sample_weight),
        "n_positive": lambda y_true, y_pred, sample_weight: np.sum(sample_weight[y_true == 1]),
        "selection_rate": selection_rate,
        "true_positive_rate": true_positive_rate,
        "false_positive_rate": false_positive_rate,
    }
    tally = _tally(labels, decisions, groups)
    frame = MetricFrame(
        metrics=metrics,
        y_true=tally["label"],
        y_pred=tally["decision"],
        sensitive_features=tally["group"],
        sample_params={name: {"sample_weight": tally["rows"]} for name in metrics},
    )
    return {
        str(group): {
            name: int(value) if name.startswith("n_") else float(value) for name, value in row.items()
        }
        for group, row in frame.by_group.iterrows()
    }


def differences(labels: Labels, decisions: Labels, groups: npt.NDArray[np.object_]) -> dict[str, float]:
    """Demographic parity and equalized odds difference, in [0, 1], as fairlearn defines them."""
    from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference

    tally = _tally(labels, decisions, groups)
    arguments = {
        "y_true": tally["label"],
        "y_pred": tally["decision"],
        "sensitive_features": tally["group"],
        "sample_weight": tally["rows"],
    }
    return {
        "demographic_parity_difference": float(demographic_parity_difference(**arguments)),
        "equalized_odds_difference": float(equalized_odds_difference(**arguments)),
    }


def _tally(labels: Labels, decisions: Labels, groups: npt.NDArray[np.object_]) -> dict[str, npt.NDArray[Any]]:
    """Rows of each combination: fairlearn takes them as weights, and seconds for a hundred thousand single rows."""
    frame = pd.DataFrame({"group": groups, "label": labels.astype(int), "decision": decisions.astype(int)})
    counts = frame.value_counts().sort_index().rename("rows").reset_index()
    return {name: counts[name].to_numpy() for name in ("group", "label", "decision", "rows")}
