"""What a column may plausibly hold, by the training rows: the bounds that every perturbation keeps to.

A number that more than a twentieth of the rows share is a mark (no capital gain, the whole year) and not a quantity
that is measured with an error: a perturbation leaves it. A column of marks alone is a choice, as a category is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lockstep.data.tables import is_category, raw_columns

Raw = Mapping[str, npt.NDArray[Any]]
"""Raw columns of n rows, as `lockstep.data.encoding.Encoder` takes them."""

_MARK_SHARE = 0.05


@dataclass(frozen=True)
class Amount:
    """A numeric column of quantities.

    Attributes
    ----------
    low, high
        The least and the largest number of the training rows.
    spread
        Standard deviation of the numbers that are no marks.
    whole
        Whether all numbers are whole.
    marks
        Numbers that stay.
    """

    low: float
    high: float
    spread: float
    whole: bool
    marks: tuple[float, ...]

    def movable(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Mask of the numbers that are no marks."""
        return np.isfinite(values) & ~np.isin(values, self.marks)


@dataclass(frozen=True)
class Choice:
    """A column of categories, or of marks, with the share of the training rows that hold each."""

    values: npt.NDArray[Any]
    shares: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Plausible:
    """Fitted on training rows.

    Attributes
    ----------
    amounts, choices
        Columns by name. One that never changes in training is in neither, nor one whose spread is no number.
    """

    amounts: Mapping[str, Amount]
    choices: Mapping[str, Choice]

    @classmethod
    def fit(cls, train: pa.Table, names: Sequence[str]) -> Plausible:
        """Look at the columns `names` of training rows."""
        amounts, choices = {}, {}
        for name in names:
            values, counts = _counted(train, name)
            marked = counts > _MARK_SHARE * counts.sum()
            if values.dtype != object and (~marked).sum() > 1:
                amount = _amount(values, counts, marked)
                if 0.0 < amount.spread < np.inf:
                    amounts[name] = amount
            elif len(values) > 1:
                choices[name] = Choice(values, counts / counts.sum())
        return cls(amounts, choices)


def _counted(train: pa.Table, name: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """The values of a column in their order, and how many rows hold each."""
    if not is_category(train[name].type):
        numbers = raw_columns(train, [name])[name]
        return np.unique(numbers[np.isfinite(numbers)], return_counts=True)
    found = pc.value_counts(pc.cast(train[name].combine_chunks().drop_null(), pa.string()))
    values = np.array(found.field("values").to_pylist(), dtype=object)
    order = np.argsort(values.astype(str), kind="stable")
    return values[order], found.field("counts").to_numpy()[order]


def _amount(
    values: npt.NDArray[np.float64], counts: npt.NDArray[np.int64], marked: npt.NDArray[np.bool_]
) -> Amount:
    rest, weights = values[~marked], counts[~marked]
    # float64 holds numbers so far apart that their variance is infinite.
    with np.errstate(over="ignore", invalid="ignore"):
        middle = np.average(rest, weights=weights)
        spread = float(np.sqrt(np.average((rest - middle) ** 2, weights=weights)))
    whole = bool(np.all(values == np.rint(values)))
    return Amount(float(values[0]), float(values[-1]), spread, whole, tuple(map(float, values[marked])))
