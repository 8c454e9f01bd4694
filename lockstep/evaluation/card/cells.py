"""A cell of a table as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Number(str):
    """A number that has its unit with it already, where need be in several lines."""

    __slots__ = ()


def shown(value: Any) -> str:
    """A cell's value as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        # Four digits behind the point are what an interval of so many rows can support.
        return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        if is_interval(value):
            return " to ".join(shown(bound) for bound in value)
        return ", ".join(shown(part) for part in value) or "none"
    return str(value)


def is_interval(value: Any) -> bool:
    """Whether it is two bounds."""
    return (
        isinstance(value, Sequence) and len(value) == 2 and all(isinstance(bound, float) for bound in value)
    )


def beside(figure: Any, interval: Any) -> Any:
    """A figure with its interval below; as it is where it has none."""
    return (
        Number(f"{shown(figure)}\n({shown(interval)})")
        if figure is not None and is_interval(interval)
        else figure
    )
