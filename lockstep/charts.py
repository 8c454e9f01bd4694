"""Charts of counts and statistics as SVG pictures, for Prefect's UI and a browser; equal figures, equal bytes."""

from __future__ import annotations

import base64
import math
import textwrap
from collections.abc import Mapping, Sequence
from html import escape

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT, _LEFT, _TOP = 480, 280, 70, 36
_BAR, _PANEL = 22, 170
_TICKS = 6


def chart(
    title: str,
    x: str,
    y: str,
    *,
    line: Points = (),
    dots: Points = (),
    faint: Points = (),
    guide: Points = (),
    log: bool = False,
    log_y: bool = False,
) -> str:
    """Draw points in a frame that holds them all.

    Parameters
    ----------
    title, x, y
        Of the chart and of its axes.
    line, dots, faint
        Points joined by a line, and points apart, of which `faint` ones are hollow.
    guide
        Points joined by a dashed line, to compare with.
    log, log_y
        Whether the axes `x` and `y` are logarithmic.
    """
    points = [
        (math.log10(px) if log else px, math.log10(py) if log_y else py)
        for px, py in (*line, *dots, *faint, *guide)
    ]
    left, right = _limits([px for px, _ in points])
    bottom, top = _limits([py for _, py in points])

    def across(value: float) -> float:
        return _LEFT + (value - left) / (right - left) * _WIDTH

    def down(value: float) -> float:
        return _TOP + (top - value) / (top - bottom) * _HEIGHT

    places = [(across(px), down(py)) for px, py in points]
    joined, apart = places[: len(line)], places[len(line) : len(places) - len(guide)]
    base = _TOP + _HEIGHT
    parts = [
        f'<path d="M{across(t):.1f} {_TOP}V{base}" stroke="#ddd"/>'
        f'<text x="{across(t):.1f}" y="{base + 16}" text-anchor="middle">{f"{10**t:g}" if log else f"{t:g}"}</text>'
        for t in (_decades(left, right) if log else _ticks(left, right))
    ]
    parts += [
        f'<path d="M{_LEFT} {down(t):.1f}H{_LEFT + _WIDTH}" stroke="#ddd"/>'
        f'<text x="{_LEFT - 6}" y="{down(t) + 4:.1f}" text-anchor="end">{f"{10**t:g}" if log_y else f"{t:g}"}</text>'
        for t in (_decades(bottom, top) if log_y else _ticks(bottom, top))
    ]
    for ends, style in (
        (places[len(places) - len(guide) :], 'stroke="#767676" stroke-dasharray="5 4"'),
        (joined, 'stroke="#1f6feb" stroke-width="2"'),
    ):
        if ends:
            drawn = " ".join(f"{px:.1f},{py:.1f}" for px, py in ends)
            parts.append(f'<polyline points="{drawn}" fill="none" {style}/>')
    for i, (px, py) in enumerate(apart):
        fill = "#1f6feb" if i < len(dots) else "none"
        parts.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3.5" fill="{fill}" stroke="#1f6feb"/>')
    parts += [
        f'<text x="{_LEFT + _WIDTH / 2}" y="{base + 34}" text-anchor="middle">{escape(x)}</text>',
        f'<text transform="translate(14 {_TOP + _HEIGHT / 2}) rotate(-90)" text-anchor="middle">{escape(y)}</text>',
    ]
    return picture(title, _LEFT + _WIDTH + 20, base + 44, parts)


def bars(title: str, shares: Mapping[str, float]) -> str:
    """Draw a bar for each share, which is in [0, 1], with its name and its figure."""
    left = 24 + max((7 * len(name) for name in shares), default=0)
    parts = []
    for i, (name, share) in enumerate(shares.items()):
        y = _TOP + i * _BAR
        parts.append(
            f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{left}" y="{y + 3}" width="{max(share, 0.002) * 300:.1f}" height="{_BAR - 7}" fill="#1f6feb"/>'
            f'<text x="{left + share * 300 + 6:.1f}" y="{y + 14}">{share:.2f}</text>'
        )
    return picture(title, left + 350, _TOP + len(shares) * _BAR + 12, parts)


def panels(
    title: str,
    figures: Mapping[str, Mapping[str, float | None]],
    intervals: Mapping[str, Mapping[str, Sequence[float] | None]] | None = None,
) -> str:
    """Draw side by side a panel for each figure, and in it a bar for each name; a panel's longest fills it.

    Parameters
    ----------
    figures
        By name; None: there is no evidence.
    intervals
        Lower and upper end of what has an interval, drawn as a line across the bar's end.
    """
    names = list(next(iter(figures.values())))
    left = 24 + max(7 * len(name) for name in names)
    headings = [textwrap.wrap(figure, _PANEL // 8) for figure in figures]
    top = _TOP + 13 * max(map(len, headings))
    parts = [
        f'<text x="{left - 8}" y="{top + i * _BAR + 14}" text-anchor="end">{escape(name)}</text>'
        for i, name in enumerate(names)
    ]
    for i, ((figure, values), heading) in enumerate(zip(figures.items(), headings, strict=True)):
        x, ranges = left + i * _PANEL, (intervals or {}).get(figure, {})
        parts += [
            f'<text x="{x}" y="{_TOP + 8 + 13 * line}" font-weight="bold">{escape(text)}</text>'
            for line, text in enumerate(heading)
        ]
        ends = [end for pair in ranges.values() for end in pair or ()]
        longest = max((abs(v) for v in (*values.values(), *ends) if v is not None), default=0.0) or 1.0
        scale = (_PANEL - 64) / longest
        for j, (name, value) in enumerate(values.items()):
            y = top + j * _BAR
            if value is None:
                parts.append(f'<text x="{x}" y="{y + 14}" fill="#767676">no evidence</text>')
                continue
            reach = width = max(abs(value) * scale, 0.5)
            parts.append(
                f'<rect x="{x}" y="{y + 3}" width="{width:.1f}" height="{_BAR - 7}" fill="#1f6feb"/>'
            )
            if low_high := ranges.get(name):
                low, high = (end * scale for end in low_high)
                parts.append(
                    f'<path d="M{x + low:.1f} {y + 10.5}H{x + high:.1f}" stroke="#222" stroke-width="2"/>'
                )
                reach = max(width, high)
            parts.append(f'<text x="{x + reach + 5:.1f}" y="{y + 14}">{value:.3g}</text>')
    return picture(title, left + len(figures) * _PANEL + 8, top + len(names) * _BAR + 12, parts)


def data_url(picture: str) -> str:
    """Address that holds the picture itself."""
    return f"data:image/svg+xml;base64,{base64.b64encode(picture.encode()).decode()}"


def picture(title: str, width: int, height: int, parts: Sequence[str]) -> str:
    """Put `parts`, SVG elements, below a title; `width` and `height` in pixels."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(title)}" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="sans-serif" '
        f'font-size="11" fill="#222"><rect width="{width}" height="{height}" fill="#fff"/>'
        f'<text x="{width / 2}" y="20" text-anchor="middle" font-size="13">{escape(title)}</text>'
        f"{''.join(parts)}</svg>"
    )


def _limits(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between two limits."""
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= rough)
    return [round(i * step, 12) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _decades(low: float, high: float) -> list[float]:
    """Exponents of the powers of ten between two limits, or of finer numbers where there are too few."""
    whole = [float(i) for i in range(math.ceil(low), math.floor(high) + 1)]
    if len(whole) > 1:
        return whole
    fine = [math.log10(f * 10.0**i) for i in range(math.floor(low), math.ceil(high) + 1) for f in (1, 2, 5)]
    return [t for t in fine if low <= t <= high]
