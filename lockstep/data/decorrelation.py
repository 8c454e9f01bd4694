"""What an encoder takes from numeric columns for what sensitive ones tell of them. Runs on numpy alone.

It is the applying half of fairlearn's CorrelationRemover: ``x - (s - mean) @ weights``, where ``s`` marks the
categories of the sensitive features. `lockstep.fairness.correlation_remover` fits it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lockstep.data.encoded_columns import as_numbers
from lockstep.errors import DataError, ModelError

SCHEMA = "transform/1"
"""Schema that stands in the context of a sealed transform."""

_FORMAT = "lockstep-transform"
_VERSION = 1


@dataclass(frozen=True)
class Sensitive:
    """A sensitive feature, what its raw column holds, and the categories that count."""

    name: str
    kind: Literal["numeric", "category"]
    categories: tuple[str, ...]


@dataclass(frozen=True)
class Residual:
    """Of one numeric column: the training share of each category, and what being of it adds to the column."""

    name: str
    means: tuple[float, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True)
class Decorrelation:
    """Fitted on training rows."""

    sensitive: tuple[Sensitive, ...]
    residuals: tuple[Residual, ...]

    @property
    def names(self) -> list[str]:
        """Sensitive features that each row must come with."""
        return [one.name for one in self.sensitive]

    @property
    def changed(self) -> list[str]:
        """Numeric columns that it changes."""
        return [residual.name for residual in self.residuals]

    def apply(self, table: Mapping[str, npt.NDArray[Any]]) -> Mapping[str, npt.NDArray[Any]]:
        """Columns of n rows, the numeric ones without what the sensitive ones tell of them.

        Each is made from `table` when it is asked for. A missing number stays missing. A row whose sensitive feature is
        missing, or of a category that does not count, is shifted by nothing on account of that feature.

        Raises
        ------
        DataError
            A sensitive feature is missing; or, by an item, a column to change holds what is no number.
        """
        absent = [name for name in self.names if name not in table]
        if absent:
            raise DataError(
                f"The model takes out of its features what the sensitive features {absent} tell of them, and these "
                "are missing. Add them, null where a value is not known."
            )
        return _Shifted(self, table)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Decorrelation:
        return cls(
            tuple(Sensitive(s["name"], s["kind"], tuple(s["categories"])) for s in fields["sensitive"]),
            tuple(Residual(r["name"], tuple(r["means"]), tuple(r["weights"])) for r in fields["residuals"]),
        )


class _Shifted(Mapping[str, npt.NDArray[Any]]):
    """What `Decorrelation.apply` gives."""

    def __init__(self, decorrelation: Decorrelation, table: Mapping[str, npt.NDArray[Any]]) -> None:
        self._table = table
        self._residuals = {residual.name: residual for residual in decorrelation.residuals}
        self._marks = indicators(decorrelation.sensitive, table).astype(bool)
        self._known = _known(decorrelation.sensitive, self._marks)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        values = self._table[name]
        if name not in self._residuals:
            return values
        residual, values = self._residuals[name], as_numbers(name, values)
        # Term by term: a matrix product may round a row otherwise among others than alone.
        for at, (mean, weight) in enumerate(zip(residual.means, residual.weights, strict=True)):
            values = values - np.where(self._known[:, at], self._marks[:, at] - mean, 0.0) * weight
        return values

    def __contains__(self, name: object) -> bool:
        return name in self._table

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)


def indicators(
    sensitive: Sequence[Sensitive], table: Mapping[str, npt.NDArray[Any]]
) -> npt.NDArray[np.float64]:
    """1 where a row is of a category, else 0: shape (n, all categories of all features)."""
    marks = []
    for one in sensitive:
        values = [
            None if value is None or value != value else str(value) for value in table[one.name].tolist()
        ]
        marks += [
            np.array([value == category for value in values], dtype=float) for category in one.categories
        ]
    n_rows = len(table[sensitive[0].name]) if sensitive else 0
    return np.column_stack(marks) if marks else np.empty((n_rows, 0))


def _known(sensitive: Sequence[Sensitive], marks: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Whether a row is of any category of the feature that a column of `marks` belongs to; shape of `marks`."""
    known = np.empty(marks.shape, dtype=bool)
    start = 0
    for one in sensitive:
        columns = slice(start, start + len(one.categories))
        known[:, columns] = marks[:, columns].any(axis=1, keepdims=True)
        start += len(one.categories)
    return known


def to_json(decorrelation: Decorrelation | None) -> bytes:
    """A transform, or that there is none. Holds a person's values (categories): seal it."""
    content = decorrelation.as_dict() if decorrelation else None
    return json.dumps({"format": _FORMAT, "version": _VERSION, "decorrelation": content}).encode()


def from_json(document: bytes) -> Decorrelation | None:
    """Inverse of `to_json`; raises ModelError on another format."""
    parsed = json.loads(document)
    if not isinstance(parsed, dict) or (parsed.get("format"), parsed.get("version")) != (_FORMAT, _VERSION):
        raise ModelError(f"This is no transform of version {_VERSION}. Run the stage `debias` again.")
    return Decorrelation.from_dict(parsed["decorrelation"]) if parsed["decorrelation"] else None
