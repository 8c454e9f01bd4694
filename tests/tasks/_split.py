"""A split as tables."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from lockstep.data.batches import TableBatches
from tasks import split


def split_tables(
    source: pa.Table, params: split.SplitParams
) -> tuple[pa.Table, pa.Table, pa.Table, dict[str, Any]]:
    """Train, validation and test rows of `source`, and the report."""
    found = split.run(TableBatches(source), params)
    rows: dict[str, list[pa.RecordBatch]] = {part: [] for part in split.PARTS}
    for part, batch in found.batches(TableBatches(source)):
        rows[part].append(batch)
    train, validation, test = (
        pa.Table.from_batches(batches, found.schema(part, source.schema)) for part, batches in rows.items()
    )
    return train, validation, test, found.report
