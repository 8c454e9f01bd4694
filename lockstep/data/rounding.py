"""Bounds that tell of a column and of nobody in it."""

from __future__ import annotations

import math
from typing import Any


def round_outward(low: float, high: float) -> tuple[float, float]:
    """Bounds of one significant digit outside [low, high]: an extreme is somebody's value, its magnitude is not.

    Zero stays: it is an amount that many rows share, or none.
    """
    return _round(low, math.floor), _round(high, math.ceil)


def _round(value: float, towards: Any) -> float:
    if value == 0:
        return 0
    unit = 10.0 ** math.floor(math.log10(abs(value)))
    rounded = towards(value / unit) * unit
    if rounded == value:
        rounded += unit if towards is math.ceil else -unit
    return int(rounded) if unit >= 1 else round(rounded, 12)
