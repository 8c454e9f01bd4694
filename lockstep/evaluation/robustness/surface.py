"""The loss of a network over the amounts of rows, as numbers that a person would see.

The encoder is piecewise linear: within a bin an amount moves one entry, by 1 over the bin's width. With the network's
derivative by that entry this is the derivative by the amount, exact but on the edges; beyond the ends, and of a value's
own code, there is none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lockstep.data.encoding import Encoder
from lockstep.data.plausible import Plausible, Raw
from lockstep.evaluation.robustness.recoding import Recoder
from lockstep.models.slopes import Slopes

Floats = npt.NDArray[np.float64]


class Surface:
    """Rows whose amounts an adversary moves, each within so many spreads of where it was.

    Parameters
    ----------
    encoder, slopes
        Of the network that the adversary knows.
    table
        Raw columns of n rows.
    codes
        Number of each row's class, shape (n,): the adversary wants its loss to grow.
    plausible
        What bounds the amounts.

    Attributes
    ----------
    start : ndarray of float64, shape (n, amounts)
        The amounts as they were; NaN where missing.
    reach : ndarray of float64, shape (n, amounts)
        Spread of each, 0 where it stays.
    """

    def __init__(
        self,
        encoder: Encoder,
        slopes: Slopes,
        table: Raw,
        codes: npt.NDArray[np.int64],
        plausible: Plausible,
    ) -> None:
        self._encoder, self._slopes, self._table, self._codes = encoder, slopes, table, codes
        columns = [
            (column, bins)
            for column, (_, bins) in zip(encoder.columns, encoder.places, strict=True)
            if column.name in plausible.amounts
        ]
        self._columns = [column for column, _ in columns]
        self._bins = [bins for _, bins in columns]
        amounts = [plausible.amounts[column.name] for column in self._columns]
        n_rows = len(codes)
        self.start: Floats = np.empty((n_rows, len(amounts)))
        self.reach: Floats = np.zeros((n_rows, len(amounts)))
        for i, (column, amount) in enumerate(zip(self._columns, amounts, strict=True)):
            self.start[:, i] = table[column.name]
            self.reach[:, i] = amount.spread * amount.movable(self.start[:, i])
        self._low = np.fmin(self.start, [amount.low for amount in amounts])
        self._high = np.fmax(self.start, [amount.high for amount in amounts])
        self._whole = np.array([amount.whole for amount in amounts], dtype=bool)
        self._recoder = Recoder(encoder, table)

    def confined(self, values: Floats, strength: float) -> Floats:
        """`values`, shape (n, amounts), brought back into plausible bounds and to `strength` spreads of the start."""
        ball = strength * self.reach
        near = np.clip(values, self.start - ball, self.start + ball)
        return np.clip(near, self._low, self._high)

    def settled(self, values: Floats) -> Floats:
        """`values` with whole numbers where they belong, rounded towards the start."""
        return np.where(self._whole, self.start + np.trunc(values - self.start), values)

    def table(self, values: Floats) -> dict[str, npt.NDArray[Any]]:
        """Raw columns of rows with these amounts."""
        moved = {column.name: values[:, i] for i, column in enumerate(self._columns)}
        return {**self._table, **moved}

    def loss(self, values: Floats) -> npt.NDArray[np.float32]:
        """The network's loss of each row, shape (n,)."""
        return self._slopes.loss(self._recoder.encode(self.table(values)), self._codes)

    def slope(self, values: Floats) -> tuple[npt.NDArray[np.float32], Floats]:
        """The network's loss of each row, shape (n,), and its derivative by each amount, shape (n, amounts)."""
        table: Raw = self.table(values)
        loss, by_entry = self._slopes.by_numbers(self._recoder.encode(table), self._codes)
        slope = np.zeros(values.shape)
        if self._encoder.decorrelation:
            # It shifts an amount by what the sensitive features say: the derivative by the amount is 1.
            table = self._encoder.decorrelation.apply(table)
        for i, (column, bins) in enumerate(zip(self._columns, self._bins, strict=True)):
            edges = np.asarray(column.edges)
            if len(edges) > 1:
                at = np.searchsorted(edges, table[column.name], side="right") - 1
                inside = (at >= 0) & (at < len(edges) - 1)
                at = at.clip(0, len(edges) - 2)
                of_bin = np.take_along_axis(by_entry[:, bins], at[:, None], axis=1)[:, 0]
                slope[:, i] = np.where(inside, of_bin / np.diff(edges)[at], 0.0)
        return loss, slope
