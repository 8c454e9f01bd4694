"""Groups of rows by the sensitive features that a method protects: `debias`, `train` and `evaluate` share it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lockstep.data.columns import MADE, audit
from lockstep.data.labels import flag
from lockstep.data.tables import values_of
from lockstep.errors import ParameterError
from lockstep.fairness.groups import OTHER, intersections
from lockstep.fairness.methods import Method


def protected(sensitive: Sequence[str], protect: Sequence[str] | None) -> list[str]:
    """Sensitive features that debias.protect names; all where it names none.

    Raises
    ------
    ParameterError
        One of them is no sensitive feature.
    """
    unknown = sorted(set(protect or ()) - set(sensitive))
    if unknown:
        raise ParameterError(
            f"debias.protect names {unknown}, which data.sensitive does not. It has: {list(sensitive)}."
        )
    return list(protect or sensitive)


def require_two_classes(method: Method, positive: str | None) -> None:
    """Raise ParameterError where `method` chooses between two classes, and the target has more."""
    if method in ("grid", "thresholds") and positive is None:
        raise ParameterError(
            f"debias.method {method} chooses between two classes, and the target has more (data.positive is null). "
            "Choose another method."
        )


def require_groups(names: Sequence[str]) -> None:
    """Raise ParameterError where there is no sensitive feature to tell groups by."""
    if not names:
        raise ParameterError(
            "This debias.method compares groups, and data.sensitive names none. Name sensitive features there."
        )


def groups_of(table: pa.Table, names: Sequence[str], min_rows: int) -> npt.NDArray[np.object_]:
    """Group of each row by the features `names` together, shape (n,); not to be reported: it holds raw values.

    Rows that lack one of them form a group with those of all groups of fewer than `min_rows` rows. A made row that
    lacks all of them is nobody, and of no group: None.

    Raises
    ------
    ParameterError
        There are no such features.
    """
    require_groups(names)
    values = [values_of(table[audit(name)]) for name in names]
    groups = intersections(values, min_rows)
    groups[[None in row for row in zip(*values, strict=True)]] = OTHER
    missing = [table[audit(name)].is_null().to_numpy() for name in names]
    groups[flag(table, MADE) & np.all(missing, axis=0)] = None
    return groups
