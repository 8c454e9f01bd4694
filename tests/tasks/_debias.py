"""What `debias` makes, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from lockstep.data.batches import TableBatches
from lockstep.data.decorrelation import Decorrelation
from tasks import debias


class Debiased(NamedTuple):
    parts: dict[str, pa.Table]
    transform: Decorrelation | None
    report: dict[str, Any]


def debiased(
    parts: Mapping[str, pa.Table], public: Mapping[str, Sequence[str]], params: debias.DebiasParams
) -> Debiased:
    """Run the stage on tables in memory."""
    found = debias.run({name: TableBatches(table) for name, table in parts.items()}, public, params)
    return Debiased({name: part.read() for name, part in found.parts.items()}, found.transform, found.report)
