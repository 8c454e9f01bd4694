"""Names that Lockstep gives to columns of its own, and what is left as features."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from lockstep.errors import DataError

Kind = Literal["numeric", "category"]
"""What a raw column holds."""

_OWN = "lockstep:"

MADE = _OWN + "made"
"""Boolean: the row was made (repeated or synthesised) by a sampler."""

SEEN = _OWN + "seen"
"""Boolean: a row of the training source has the same features, sensitive ones left aside."""

GROUP = _OWN + "group"
"""Number of the row's group, where the source has an id column: rows of one id or of identical features share it."""

WEIGHT = _OWN + "weight"
"""Weight of the row in the training loss."""

_AUDIT = _OWN + "audit:"


def audit(column: str) -> str:
    """Name under which a `column` that is no feature travels along: a sensitive one for the audit, or a proxy."""
    return _AUDIT + column


def unaudited(column: str) -> str:
    """Inverse of `audit`; another name stays."""
    return column.removeprefix(_AUDIT)


def features(columns: Iterable[str], target: str) -> list[str]:
    """Names in `columns` that a model may see, in their order."""
    return [name for name in columns if name != target and not name.startswith(_OWN)]


def refuse_reserved(columns: Iterable[str]) -> None:
    """Raise DataError if a source column bears a name that Lockstep keeps for itself."""
    taken = [name for name in columns if name.startswith(_OWN)]
    if taken:
        raise DataError(
            f"Column names that begin with {_OWN!r} are reserved. Received: {taken}. Rename them."
        )
