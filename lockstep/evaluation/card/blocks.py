"""What a section of the card is made of, and how any report becomes that without its names being known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lockstep.charts import chart
from lockstep.evaluation.card.cells import beside

Document = Mapping[str, Any]

_DRAWN_FROM = 12
"""A list of so many points is a curve."""
_MAX_ROWS = 200
_INTERVAL = "_interval"
_MOST_SHOWN = 12
"""A longer table is folded."""
_SPOKEN = {
    "roc auc": "ROC AUC", "brier": "Brier score", "ece": "calibration error (ECE)", "f1": "F1",
    "n rows": "rows", "n positive": "positive rows", "n made": "made rows",
    "n members": "training rows", "n others": "other rows", "n columns": "columns",
    "n expectations": "expectations checked", "n failed": "expectations failed", "n warned": "expectations warned",
    "n train": "training rows", "n validation": "validation rows", "n test": "test rows",
    "source sha256": "keyed fingerprint of the source",
    "best val average precision": "best average precision on validation rows",
    "val average precision": "average precision on validation rows", "peak memory bytes": "peak memory, bytes",
    "p50 ms": "median, ms", "p99 ms": "99th percentile, ms", "cpu seconds": "processor seconds",
    "mean absolute shap": "mean absolute SHAP value",
    "mean absolute shap of the float model": "mean absolute SHAP value, float model",
    "membership inference auc": "membership inference AUC", "fgsm": "FGSM", "pgd": "PGD",
}  # fmt: skip
"""Keys of reports that are no words, or not those of the field."""


@dataclass(frozen=True)
class Table:
    """Rows under named columns; the first cell of a row is its header. A cell of None is a visible blank.

    A long table is folded, until somebody opens it or prints the page, unless it is to stay `open`.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    open: bool = False

    @property
    def folded(self) -> bool:
        return len(self.rows) > _MOST_SHOWN and not self.open


@dataclass(frozen=True)
class Picture:
    """An SVG element that names itself, with a line below it."""

    svg: str
    caption: str


Block = Table | Picture | str
"""A string is a paragraph."""


@dataclass(frozen=True)
class Section:
    """A part of the card under a heading."""

    title: str
    blocks: Sequence[Block]

    @property
    def anchor(self) -> str:
        return "".join(c if c.isalnum() else "-" for c in self.title.lower()).strip("-")


def words(name: str) -> str:
    """A key of a report as a person reads it."""
    parts = (part.strip() for part in name.replace("_", " ").split(":"))
    return ", ".join(_SPOKEN.get(part.lower(), part) for part in parts)


def title(name: str) -> str:
    """`words` as a heading."""
    spoken = words(name)
    return spoken[:1].upper() + spoken[1:]


def facts(caption: str, values: Mapping[str, Any]) -> Table:
    """A table of names and values."""
    return Table(caption, ("fact", "value"), [(words(name), value) for name, value in values.items()])


def of_any(name: str, value: Any) -> Iterator[Block]:
    """Yield tables and curves that show `value`, a part of a report.

    Scalars become facts; mappings of alike mappings, and lists of them, one table; a long list of points a curve; what
    is nested deeper, blocks of its own.
    """
    heading = title(name)
    if isinstance(value, Mapping):
        plain = {key: part for key, part in value.items() if _is_plain(part)}
        if plain:
            yield facts(heading, plain)
        rows = {key: part for key, part in value.items() if key not in plain}
        if len(rows) > 1 and all(_is_flat(part) for part in rows.values()):
            # Two tables of one name could not be told apart by ear.
            caption = f"{heading}: by name" if plain else heading
            yield table_of(caption, "name", [{"name": key, **part} for key, part in rows.items()])
        else:
            for key, part in rows.items():
                yield from of_any(f"{name}: {key}", part)
    elif isinstance(value, Sequence) and value and all(_is_flat(part) for part in value):
        curve = _curve(heading, value)
        yield curve or table_of(heading, next(iter(value[0])), value)
    elif value not in ([], ()):
        yield facts(heading, {"value": value})


def table_of(
    caption: str,
    first: str,
    rows: Sequence[Mapping[str, Any]],
    show: Callable[[Any], Any] = lambda value: value,
) -> Table:
    """One table of alike mappings: a column for each key that any of them has, `first` in front.

    ``NAME_interval`` stands with the figure ``NAME``.
    """
    keys = [first, *dict.fromkeys(key for row in rows for key in row if key != first)]
    ranges = {key: f"{key}{_INTERVAL}" for key in keys if f"{key}{_INTERVAL}" in keys}
    names = [key for key in keys if key not in ranges.values()]
    cells = [
        [show(beside(row.get(name, ""), row.get(ranges.get(name, "")))) for name in names]
        for row in rows[:_MAX_ROWS]
    ]
    return Table(
        caption, [words(name) + (" (95 % interval)" if name in ranges else "") for name in names], cells
    )


def _curve(heading: str, points: Sequence[Mapping[str, Any]]) -> Picture | None:
    x, *others = points[0]
    if len(points) < _DRAWN_FROM or len(others) != 1 or not all(map(_is_number, points[0].values())):
        return None
    y = others[0]
    line = [(point[x], point[y]) for point in points if _is_number(point[x]) and _is_number(point[y])]
    return Picture(chart(heading, words(x), words(y), line=line), heading)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_plain(value: Any) -> bool:
    """Whether one cell shows it: a scalar, an interval, or a short list of scalars."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return all(isinstance(part, str | int | float | bool) for part in value)
    return not isinstance(value, Mapping)


def _is_flat(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(map(_is_plain, value.values()))
