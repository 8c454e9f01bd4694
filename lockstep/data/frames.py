"""Rows as the data frames that Great Expectations takes, in the types that the whole table has in pandas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lockstep.data.batches import Batches
from lockstep.data.row_digests import digests_of
from lockstep.data.tables import plain

if TYPE_CHECKING:
    import pandas as pd


def frame_of(table: Batches, rows: pa.Table | pa.RecordBatch) -> pd.DataFrame:
    """Some rows of `table`, where gaps make floats of whole numbers."""
    gaps = [
        name
        for name in rows.schema.names
        if (
            pa.types.is_integer(rows.schema.field(name).type)
            or pa.types.is_boolean(rows.schema.field(name).type)
        )
        and table.nulls(name)
    ]
    whole = [name for name in gaps if pa.types.is_integer(rows.schema.field(name).type)]
    for name in whole:
        floats = pc.cast(rows.column(name), pa.float64(), safe=False)
        rows = rows.set_column(rows.schema.get_field_index(name), name, floats)
    frame = rows.to_pandas()
    for name in set(gaps) - set(whole):
        frame[name] = frame[name].astype(object)
    return frame


def whole_columns(table: Batches, columns: Sequence[str]) -> pd.DataFrame:
    """All rows of `columns`, a repeated text once: of a column with few texts a byte or two stand for each row."""
    import pandas as pd

    found = {}
    for name in columns:
        codes = _coded(table, name) if _is_text(table, name) else None
        if codes is None:
            found[name] = frame_of(table, table.read([name]))[name]
        else:
            found[name] = codes.cat.reorder_categories(sorted(codes.cat.categories), ordered=True)
    return pd.DataFrame(found)


def digested_columns(table: Batches, columns: Sequence[str]) -> pd.DataFrame:
    """All rows of `columns`, a text by its digest of 64 bits: equal where the texts are, and missing where they are."""
    import pandas as pd

    found = {}
    for name in columns:
        if _is_text(table, name):
            parts = [
                (digests_of(column).view(np.int64), column.is_null().to_numpy(zero_copy_only=False))
                for column in (plain(batch.column(name)) for batch in table.batches([name]))
            ]
            values, missing = (np.concatenate(part) for part in zip(*parts, strict=True))
            found[name] = pd.Series(pd.arrays.IntegerArray(values, missing))
        else:
            found[name] = frame_of(table, table.read([name]))[name]
    return pd.DataFrame(found)


def _is_text(table: Batches, name: str) -> bool:
    dtype = table.schema.field(name).type
    return bool(pa.types.is_string(dtype) or pa.types.is_large_string(dtype))


def _coded(table: Batches, name: str) -> pd.Series[str] | None:
    """The column `name` as categories; None where most of its texts stand once, and codes would be no smaller."""
    chunks = []
    for batch in table.batches([name]):
        encoded = batch.column(name).dictionary_encode()
        if 2 * len(encoded.dictionary) > len(encoded):
            return None
        chunks.append(encoded)
    return pa.chunked_array(chunks).unify_dictionaries().to_pandas()
