"""Rows of several tables as one table, read batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lockstep.data.batches import Batches

Mask = npt.NDArray[np.bool_]


class Selection:
    """Some rows of tables of one schema, one table after the other, as `Batches`.

    Parameters
    ----------
    sources
        The tables.
    columns
        Of each column its name here, and in the sources.
    masks
        Which rows of each source are taken, shape (n,) each; None: all.
    added
        Further columns, of as many values as rows are taken.
    """

    def __init__(
        self,
        sources: Sequence[Batches],
        columns: Mapping[str, str],
        masks: Sequence[Mask] | None = None,
        added: Mapping[str, pa.Array] | None = None,
    ) -> None:
        taken: Sequence[Mask | None] = masks or [None] * len(sources)
        self._parts = list(zip(sources, taken, strict=True))
        self._columns = dict(columns)
        self._added = dict(added or {})
        fields = [sources[0].schema.field(name).with_name(own) for own, name in self._columns.items()]
        fields += [pa.field(own, values.type) for own, values in self._added.items()]
        self.schema = pa.schema(fields)
        self.num_rows = sum(
            source.num_rows if mask is None else int(mask.sum()) for source, mask in self._parts
        )

    def extended(self, name: str, values: pa.Array) -> Selection:
        """These rows with a further column."""
        sources, masks = zip(*self._parts, strict=True)
        whole = [
            np.ones(s.num_rows, dtype=bool) if m is None else m for s, m in zip(sources, masks, strict=True)
        ]
        return Selection(sources, self._columns, whole, {**self._added, name: values})

    def batches(
        self, columns: Sequence[str] | None = None, rows: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """As `Batches.batches`."""
        names = self.schema.names if columns is None else list(columns)
        schema = pa.schema([self.schema.field(name) for name in names])
        # At least one: how many rows there are is told by a column.
        wanted = [self._columns[n] for n in names if n in self._columns] or list(self._columns.values())[:1]
        start = 0
        for source, mask in self._parts:
            at = 0
            if mask is not None and not mask.any():
                continue
            for batch in source.batches(list(dict.fromkeys(wanted)), rows):
                own = None if mask is None else mask[at : at + batch.num_rows]
                at += batch.num_rows
                taken = batch if own is None or own.all() else batch.filter(pa.array(own))
                arrays = [
                    taken.column(self._columns[name])
                    if name in self._columns
                    else self._added[name].slice(start, taken.num_rows)
                    for name in names
                ]
                start += taken.num_rows
                if taken.num_rows:
                    yield pa.record_batch(arrays, schema=schema)

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """As `Batches.read`; of all columns where none is named."""
        names = self.schema.names if columns is None else list(columns)
        schema = pa.schema([self.schema.field(name) for name in names])
        return pa.Table.from_batches(self.batches(names), schema)

    def nulls(self, column: str) -> int:
        """As `Batches.nulls`."""
        return sum(int(batch.column(0).null_count) for batch in self.batches([column]))
