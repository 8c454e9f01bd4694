"""The walk over a card: each number in it is recomputed, or named with a reason."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

RELATIVE, ABSOLUTE = 1e-6, 1e-9


class About(NamedTuple):
    """A number that another way of computing gives only about."""

    value: float
    absolute: float


class Found(NamedTuple):
    """How many leaves are equal, those named by reason, and a line for each that is neither."""

    equal: int
    named: dict[str, list[str]]
    wrong: list[str]


def compare(card: Any, expected: Any, reasons: Mapping[str, str]) -> Found:
    """Compare a card with what was recomputed.

    Parameters
    ----------
    reasons
        Why numbers are not recomputed, by the pattern of their paths.
    """
    held, recomputed = dict(leaves(card)), dict(leaves(expected))
    found = Found(sum(_equal(held.get(path), value) for path, value in recomputed.items()), {}, [])
    for path, value in recomputed.items():
        if path not in held:
            found.wrong.append(f"{path}: the card has none, recomputed {value}")
        elif not _equal(held[path], value):
            found.wrong.append(f"{path}: the card has {held[path]}, recomputed {value}")
    for path, value in held.items():
        if isinstance(value, str | bool | None) or path in recomputed:
            continue
        reason = next((why for pattern, why in reasons.items() if re.fullmatch(pattern, path)), None)
        if reason is None:
            found.wrong.append(f"{path}: {value} is neither recomputed nor named")
        else:
            found.named.setdefault(reason, []).append(path)
    return found


def leaves(document: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each leaf with its path."""
    if isinstance(document, Mapping):
        for name, part in document.items():
            yield from leaves(part, f"{path}/{name}")
    elif isinstance(document, list | tuple) and not isinstance(document, About):
        for number, part in enumerate(document):
            yield from leaves(part, f"{path}/{number}")
    else:
        yield path, document


def _equal(held: Any, value: Any) -> bool:
    if isinstance(value, About):
        return _is_number(held) and math.isclose(held, value.value, rel_tol=0.0, abs_tol=value.absolute)
    if _is_number(value):
        return _is_number(held) and math.isclose(held, value, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return type(held) is type(value) and held == value


def _is_number(value: Any) -> bool:
    return hasattr(value, "__float__") and not isinstance(value, bool)
