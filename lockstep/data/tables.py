"""Tables in memory and as Parquet."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lockstep.errors import DataError

SCHEMA = "table/1"
"""Schema that stands in the context of a sealed table."""


def to_parquet(table: pa.Table) -> bytes:
    """Parquet with zstd; the same table gives the same bytes."""
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(None), buffer, compression="zstd")
    return buffer.getvalue()


def from_parquet(content: bytes) -> pa.Table:
    """Inverse of `to_parquet`; raises DataError on another format."""
    try:
        return pq.read_table(pa.BufferReader(content))
    except (pa.ArrowException, OSError):
        raise DataError("This is no Parquet file, or a damaged one.") from None


def parse_source(content: bytes, name: str, text: Sequence[str] = ()) -> pa.Table:
    """Parse a source table from the bytes of its file.

    Parameters
    ----------
    content
        The whole file.
    name
        Its name; the suffix tells the format: .parquet or .csv.
    text
        Columns of a CSV that hold text even where it looks like numbers ("007").

    Raises
    ------
    DataError
        Another suffix, not of that format, no rows, or a column name that occurs twice.
    """
    suffix = Path(name).suffix
    if suffix == ".parquet":
        try:
            table = from_parquet(content)
        except DataError:
            raise DataError(f"{name} is no Parquet file, or is damaged. Write it again.") from None
    elif suffix == ".csv":
        table = _parse_csv(content, name, text)
    else:
        raise DataError(
            f"{name}: tables are read from .parquet or .csv. Received: {suffix or 'no suffix'!r}."
        )
    if table.num_rows == 0:
        raise DataError(f"{name} has no rows.")
    twice = sorted({c for c in table.column_names if table.column_names.count(c) > 1})
    if twice:
        raise DataError(f"{name} has more than one column named {twice}. Rename all but one.")
    return table


def read_source(path: str | Path, text: Sequence[str] = ()) -> pa.Table:
    """Read a source table from a file; raises DataError as `parse_source` does, or when there is none."""
    return parse_source(read_bytes(path), str(path), text)


def read_bytes(path: str | Path) -> bytes:
    """Content of a source file; raises DataError where there is none."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist. Correct the path, or run the stage that makes it.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a directory; a table is one file.") from None


def require(table: pa.Table, columns: Sequence[str], why: str) -> None:
    """Raise DataError if one of `columns` is not in `table`; `why` tells which parameter names it."""
    absent = [name for name in columns if name not in table.column_names]
    if absent:
        raise DataError(f"{why} names {absent}, which the table lacks. It has: {table.column_names}.")


def is_category(dtype: pa.DataType) -> bool:
    """Whether a column of this type holds categories, not numbers."""
    value = dtype.value_type if pa.types.is_dictionary(dtype) else dtype
    return pa.types.is_string(value) or pa.types.is_large_string(value) or pa.types.is_boolean(value)


def raw_columns(table: pa.Table, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Columns as `lockstep.data.encoding.Encoder` takes them.

    Returns
    -------
    dict of str to ndarray of shape (n_rows,)
        float64 with NaN for a missing number, object (str) with None for a missing category.

    Raises
    ------
    DataError
        A column holds neither numbers nor categories (dates, lists, binary).
    """
    return {name: _raw_column(name, table[name]) for name in names}


def _raw_column(name: str, column: pa.ChunkedArray) -> npt.NDArray[Any]:
    if is_category(column.type):
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        return np.array(pc.cast(column, pa.string()).to_pylist(), dtype=object)
    if not (
        pa.types.is_integer(column.type)
        or pa.types.is_floating(column.type)
        or pa.types.is_decimal(column.type)
    ):
        raise DataError(
            f"Column {name!r} is of type {column.type}; a feature holds numbers, text or booleans. "
            "Convert it at the source, or list it under data.not_features."
        )
    return np.asarray(pc.cast(column, pa.float64(), safe=False).to_numpy(), dtype=np.float64)


def _parse_csv(content: bytes, name: str, text: Sequence[str]) -> pa.Table:
    import pyarrow.csv as csv

    try:
        return csv.read_csv(
            pa.BufferReader(content),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(text, pa.string()),
                strings_can_be_null=True,
                null_values=["", "?"],
            ),
        )
    except (pa.ArrowException, UnicodeDecodeError):
        # The parser's own words quote the row.
        raise DataError(
            f"{name} is no CSV table: it needs a header, commas, UTF-8 and as many fields in each row."
        ) from None
