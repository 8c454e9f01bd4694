"""A curve in the unit square as an SVG picture."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_SIDE, _LEFT, _TOP = 320, 56, 36
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
_MAX_POINTS = 200


def curve(points: Sequence[tuple[float, float]], title: str, x: str, y: str) -> str:
    """Draw `points`, of which neither coordinate leaves 0 to 1, with the axes' names `x` and `y`."""
    step = max(1, len(points) // _MAX_POINTS)
    drawn = [*points[:-1:step], *points[-1:]]
    line = " ".join(f"{_across(px):.1f},{_down(py):.1f}" for px, py in drawn)
    middle, bottom = _LEFT + _SIDE / 2, _TOP + _SIDE
    grid = "".join(
        f'<path d="M{_across(t)} {_TOP}V{bottom}M{_LEFT} {_down(t)}H{_LEFT + _SIDE}" stroke="#ddd"/>'
        f'<text x="{_across(t)}" y="{bottom + 16}" text-anchor="middle">{t:g}</text>'
        f'<text x="{_LEFT - 6}" y="{_down(t) + 4}" text-anchor="end">{t:g}</text>'
        for t in _TICKS
    )
    width, height = _LEFT + _SIDE + 20, bottom + 44
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
        f'font-size="11" fill="#222"><rect width="{width}" height="{height}" fill="#fff"/>'
        f'<text x="{middle}" y="20" text-anchor="middle" font-size="13">{escape(title)}</text>{grid}'
        f'<polyline points="{line}" fill="none" stroke="#1f6feb" stroke-width="2"/>'
        f'<text x="{middle}" y="{bottom + 34}" text-anchor="middle">{escape(x)}</text>'
        f'<text transform="translate(14 {_TOP + _SIDE / 2}) rotate(-90)" text-anchor="middle">{escape(y)}</text>'
        "</svg>"
    )


def _across(value: float) -> float:
    return _LEFT + value * _SIDE


def _down(value: float) -> float:
    return _TOP + (1 - value) * _SIDE
