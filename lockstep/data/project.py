"""What `lockstep init` finds out about a table: its roles, and parameters that suit its size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from lockstep.data.columns import refuse_reserved
from lockstep.data.profile import MAX_CATEGORIES
from lockstep.data.tables import is_category, require
from lockstep.errors import DataError

MAX_CLASSES = 100
"""A target of more values is no class: a quantity, or text."""


@dataclass(frozen=True)
class Roles:
    """What the columns of a table are to the pipeline.

    Attributes
    ----------
    target, positive
        Column of labels, and the label of the positive class.
    sensitive
        Sensitive features.
    not_features
        Columns that no model may learn from: keys, constants, dates.
    advice
        A sentence for each column that a person should look at.
    n_rows, n_positive
        Size of the table.
    time, id
        Columns by which rows are split and kept together.
    """

    target: str
    positive: str
    sensitive: tuple[str, ...]
    not_features: tuple[str, ...]
    advice: tuple[str, ...]
    n_rows: int
    n_positive: int
    time: str | None = None
    id: str | None = None


def find_roles(
    table: pa.Table,
    target: str,
    positive: str | None,
    sensitive: Sequence[str],
    *,
    time: str | None = None,
    id_column: str | None = None,
) -> Roles:
    """Find out the columns' roles.

    Parameters
    ----------
    positive
        Label of the positive class; None takes the rarer one.

    Raises
    ------
    DataError
        A named column is missing, the target has not two classes, a sensitive feature holds numbers, or no
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
    label = min(counts, key=lambda name: (counts[name], name)) if positive is None else positive
    if label not in counts:
        raise DataError(f"--positive {label!r} is no label of target {target!r}. It holds: {sorted(counts)}.")
    not_features, advice = [], []
    for name in table.column_names:
        reason = None if name in named else _no_feature(table[name])
        if reason:
            not_features.append(name)
            advice.append(f"{name}: {reason}, so it is no feature")
        elif (
            name not in own
            and is_category(table[name].type)
            and pc.count_distinct(table[name]).as_py() > MAX_CATEGORIES
        ):
            advice.append(
                f"{name}: more than {MAX_CATEGORIES} categories; if it is free text, list it in not_features"
            )
    if len(not_features) + len(named) >= table.num_columns:
        raise DataError(
            "No feature is left beside the target, the sensitive features and what is no feature."
        )
    return Roles(
        target,
        label,
        tuple(sensitive),
        tuple(not_features),
        tuple(advice),
        len(table),
        counts[label],
        time,
        id_column,
    )


def _classes(column: pa.ChunkedArray, target: str) -> dict[str, int]:
    """Rows of each class of the column of labels."""
    missing = column.null_count
    if missing == len(column):
        raise DataError(f"Target {target!r} is missing in every row. Choose a column of two classes.")
    if missing:
        raise DataError(f"Target {target!r} is missing in {missing:,} rows. Drop those rows at the source.")
    counts = {str(c["values"]): c["counts"] for c in pc.value_counts(column).to_pylist()}
    if len(counts) == 1:
        raise DataError(f"Target {target!r} has 1 class. Choose a column of two classes.")
    if len(counts) > MAX_CLASSES:
        if is_category(column.type):
            raise DataError(
                f"Target {target!r} holds {len(counts):,} different texts, which are no classes. Choose another."
            )
        raise DataError(
            f"Target {target!r} holds {len(counts):,} different numbers: that is regression, and Lockstep trains "
            "classifiers. Cut it into classes at the source, such as above and below a limit."
        )
    if len(counts) > 2:
        raise DataError(
            f"Target {target!r} has {len(counts)} classes; Lockstep trains binary classifiers. "
            "Choose a column of two classes."
        )
    return counts


def _no_feature(column: pa.ChunkedArray) -> str | None:
    if (
        pa.types.is_temporal(column.type)
        or pa.types.is_nested(column.type)
        or pa.types.is_binary(column.type)
    ):
        return f"it is of type {column.type}"
    if column.null_count == len(column):
        return "it is empty"
    distinct = pc.count_distinct(column, mode="only_valid").as_py()
    if distinct < 2:
        return "it holds one value"
    if distinct == len(column) and not pa.types.is_floating(column.type):
        return "it differs in every row, like a key"
    return None


def default_gates(
    n_rows: int, n_positive: int, sensitive: Sequence[str]
) -> dict[str, float | dict[str, float]]:
    """Thresholds that a useless model breaks; a team replaces them by its own before it looks at a result."""
    share = n_positive / n_rows
    return {
        "roc_auc": 0.7,
        "average_precision": round(min(2 * share, (1 + share) / 2), 3),
        "brier": round(share * (1 - share), 4),
        "demographic_parity_difference": dict.fromkeys(sensitive, 0.1),
        "equalized_odds_difference": dict.fromkeys(sensitive, 0.1),
    }
