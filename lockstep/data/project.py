"""What `lockstep init` finds out about a table: its roles, and parameters that suit its size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lockstep.data.columns import refuse_reserved
from lockstep.data.findings import Finding, duplicates, look_at
from lockstep.data.leaks import Codes, Labels
from lockstep.data.splitting import times_of
from lockstep.data.tables import is_category, require
from lockstep.errors import DataError

MAX_CLASSES = 100
"""A target of more texts is free text."""

MIN_CLASS_ROWS = 3

MAX_NUMBERS = 20
"""A target of more whole numbers is a quantity."""

_TOLERATED: dict[str, tuple[float, float]] = {
    "noise": (0.1, 0.25),
    "missing": (0.05, 0.25),
    "swapped": (0.05, 0.25),
    "fgsm": (0.1, 0.5),
    "pgd": (0.1, 0.5),
    "flips": (1, 1.0),
    "shifted": (2.0, 0.25),
}
"""Strength of each perturbation, and the share that it may cost of what a model is better by than a random order."""

MAY_BE_WORSE: dict[str, float] = {"roc_auc": 0.02, "average_precision": 0.05, "brier": 0.01}
"""How much worse than the champion a candidate may be: of a thousand rows another seed may cost so much."""


@dataclass(frozen=True)
class Roles:
    """What the columns of a table are to the pipeline.

    Attributes
    ----------
    target, positive
        Column of labels, and the label of the positive class; None where there are more than two classes.
    sensitive
        Sensitive features.
    not_features
        Columns that no model may learn from: keys, constants, dates, what gives the label away.
    findings
        Every column, in the table's order.
    notes
        A sentence each on the table as a whole.
    classes
        Rows of each class, by its label.
    time, id
        Columns by which rows are split and kept together.
    """

    target: str
    positive: str | None
    sensitive: tuple[str, ...]
    not_features: tuple[str, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    classes: Mapping[str, int]
    time: str | None = None
    id: str | None = None

    @property
    def n_rows(self) -> int:
        return sum(self.classes.values())


def find_roles(
    table: pa.Table,
    target: str,
    positive: str | None,
    sensitive: Sequence[str],
    min_category_rows: int,
    *,
    time: str | None = None,
    id_column: str | None = None,
) -> Roles:
    """Find out the columns' roles.

    Parameters
    ----------
    positive
        Label of the positive class; None takes the rarer one of two.
    min_category_rows
        Rows that must share a category for it to be shown.

    Raises
    ------
    DataError
        A named column is missing, the target is no column of classes, a sensitive feature holds numbers, or no
        feature is left.
    """
    refuse_reserved(table.column_names)
    require(table, [target], "--target")
    require(table, sensitive, "--sensitive")
    own = [name for name in (time, id_column) if name is not None]
    require(table, own, "--time or --id")
    named = [target, *sensitive, *own]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise DataError(f"{twice} are named as more than one of target, sensitive, time and id. Choose one.")
    numeric = [name for name in sensitive if not is_category(table[name].type)]
    if numeric:
        raise DataError(
            f"The sensitive features {numeric} hold numbers; groups are audited by category. "
            "Add a column with bands (for example age_band) at the source and name that."
        )
    counts = _classes(table[target], target)
    label = _positive(counts, target, positive)
    if time is not None:
        times_of(table[time], time)
    numbers = class_numbers(table[target])
    labels = Labels.of(numbers)
    findings = tuple(
        look_at(name, table[name], labels, min_category_rows, named=name in named)
        for name in table.column_names
    )
    features = [found.column for found in findings if found.feature]
    if not features:
        raise DataError(
            "No feature is left beside the target, the sensitive features and what is no feature:\n"
            + "\n".join(f"  {found.column}: {found.advice}" for found in findings if found.advice)
        )
    return Roles(
        target=target,
        positive=label,
        sensitive=tuple(sensitive),
        not_features=tuple(
            found.column for found in findings if not found.feature and found.column not in named
        ),
        findings=findings,
        notes=tuple(duplicates(table, features, numbers)),
        classes=dict(sorted(counts.items())),
        time=time,
        id=id_column,
    )


def _positive(counts: Mapping[str, int], target: str, positive: str | None) -> str | None:
    """Label of the positive class of two."""
    if positive is not None and positive not in counts:
        raise DataError(
            f"--positive {positive!r} is no label of target {target!r}. It holds: {sorted(counts)}."
        )
    if len(counts) > 2:
        if positive is not None:
            raise DataError(
                f"Target {target!r} has {len(counts)} classes; --positive names one of two. Leave it out."
            )
        return None
    return positive or min(counts, key=lambda name: (counts[name], name))


def class_numbers(column: pa.ChunkedArray) -> Codes:
    """Number of each row's class from 0, shape (n,), in the order of their names."""
    return np.unique(np.array([str(value) for value in column.to_pylist()]), return_inverse=True)[1]


def _classes(column: pa.ChunkedArray, target: str) -> dict[str, int]:
    """Rows of each class of the column of labels."""
    if not (is_category(column.type) or pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
            or pa.types.is_null(column.type)):  # fmt: skip
        raise DataError(
            f"Target {target!r} is of type {column.type}; labels are text, booleans or numbers. Convert it at the "
            "source."
        )
    missing = column.null_count
    if missing == len(column):
        raise DataError(f"Target {target!r} is missing in every row. Choose another column.")
    if missing:
        raise DataError(f"Target {target!r} is missing in {missing:,} rows. Drop those rows at the source.")
    counts = {str(c["values"]): c["counts"] for c in pc.value_counts(column).to_pylist()}
    if len(counts) == 1:
        raise DataError(f"Target {target!r} has 1 class. Choose a column of two or more.")
    if not is_category(column.type) and len(counts) > 2:
        numbers = pc.cast(column, pa.float64(), safe=False)
        if len(counts) > MAX_NUMBERS or not pc.all(pc.equal(numbers, pc.floor(numbers))).as_py():
            raise DataError(
                f"Target {target!r} holds {len(counts):,} different numbers: that is regression, and Lockstep trains "
                "classifiers. Cut it into classes at the source, such as above and below a limit."
            )
    if len(counts) > MAX_CLASSES:
        raise DataError(
            f"Target {target!r} holds {len(counts):,} different texts, which are no classes. Choose another."
        )
    if min(counts.values()) < MIN_CLASS_ROWS:
        small = sum(rows < MIN_CLASS_ROWS for rows in counts.values())
        raise DataError(
            f"{small} of the {len(counts)} classes of target {target!r} have fewer than {MIN_CLASS_ROWS} rows, and "
            "cannot stand in train, validation and test. Merge them with another class, or choose another column."
        )
    return counts


def default_gates(
    classes: Mapping[str, int], positive: str | None, sensitive: Sequence[str], attack_rate: float
) -> dict[str, Any]:
    """Thresholds that a useless model breaks; a team replaces them by its own before it looks at a result.

    Parameters
    ----------
    classes
        Rows of each class, by its label.
    positive
        Label of the positive class; None where figures are means over the classes.
    attack_rate
        False positive rate at which membership inference is judged.
    """
    shares = np.array(list(classes.values())) / sum(classes.values())
    share = float(shares.mean()) if positive is None else classes[positive] / sum(classes.values())
    return {
        "roc_auc": 0.7,
        "average_precision": round(min(2 * share, (1 + share) / 2), 3),
        # Of whom answers the shares of the classes, to each row.
        "brier": round(float(1 - (shares**2).sum()) / 2, 4),
        "demographic_parity_difference": dict.fromkeys(sensitive, 0.1),
        "equalized_odds_difference": dict.fromkeys(sensitive, 0.1),
        "explanation_agreement": 0.9,
        "membership_inference": round(3 * attack_rate, 4),
        "membership_inference_auc": 0.6,
        "robustness": {kind: {"at": at, "loss": loss} for kind, (at, loss) in _TOLERATED.items()},
    }
