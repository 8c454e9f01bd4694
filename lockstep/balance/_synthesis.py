"""What the samplers share that put rows between those of a small class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lockstep.balance._mixed import Floats, Mixed
from lockstep.balance.rows import Codes, Columns, Resampled, Synthetic, extended, missing_rows, of_input

NEIGHBOURS = 5

_BLOCK = 20_000

Make = Callable[[Mixed, Floats, int, int], Floats]
"""Makes that many rows from the encoded ones of a class, by a seed; encoded, too."""


def grow(columns: Columns, codes: Codes, ratio: float, seed: int, make: Make) -> Resampled:
    """Add to each class that is too small what it lacks; so many rows at a time that memory stays bounded."""
    lacking = missing_rows(codes, ratio)
    if not lacking:
        return of_input(np.arange(len(codes)))
    mixed = Mixed(columns)
    matrix = mixed.encode(columns)
    made = [
        make(mixed, matrix[codes == code], min(_BLOCK, n - start), seed + start)
        for code, n in lacking.items()
        for start in range(0, n, _BLOCK)
    ]
    labels = np.repeat(list(lacking), list(lacking.values()))
    return extended(np.arange(len(codes)), Synthetic(mixed.decode(np.concatenate(made)), labels))


def with_another(rows: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Codes]:
    """`rows` as class 1, and behind them one of a class 0, without which no sampler of imbalanced-learn starts."""
    return np.concatenate((rows, rows[:1])), np.append(np.ones(len(rows), dtype=np.int64), 0)
