"""Tables in memory and as Parquet."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lockstep.data.columns import Kind, audit, unaudited
from lockstep.data.delimited import parse_delimited
from lockstep.errors import DataError

SCHEMA = "table/1"
"""Schema that stands in the context of a sealed table."""

_COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
_DELIMITED = (".csv", ".tsv", ".txt")


_GROUP_ROWS = 1 << 20


def to_parquet(table: pa.Table) -> bytes:
    """Parquet with zstd; the same table gives the same bytes."""
    table, buffer = table.replace_schema_metadata(None), io.BytesIO()
    with pq.ParquetWriter(buffer, table.schema, compression="zstd") as writer:
        for start in range(0, max(len(table), 1), _GROUP_ROWS):
            # Where the chunks of a column end would show in the pages.
            group = table.slice(start, _GROUP_ROWS).combine_chunks()
            writer.write_table(group, row_group_size=_GROUP_ROWS)
    return buffer.getvalue()


def from_parquet(content: bytes, *, compact: bool = False) -> pa.Table:
    """Inverse of `to_parquet`; raises DataError on another format.

    Parameters
    ----------
    compact
        Whether text is read as dictionaries, in which a row takes four bytes.
    """
    try:
        text = []
        if compact:
            schema = pq.read_schema(pa.BufferReader(content))
            text = [field.name for field in schema if _is_text(field.type)]
        table = pq.read_table(pa.BufferReader(content), read_dictionary=text)
        return table.cast(wide(table.schema))
    except (pa.ArrowException, OSError):
        raise DataError("This is no Parquet file, or a damaged one.") from None


def parse_source(content: bytes, name: str, text: Sequence[str] = (), encoding: str = "utf-8") -> pa.Table:
    """Parse a source table from the bytes of its file.

    Parameters
    ----------
    content
        The whole file.
    name
        Its name; the suffix tells the format: .parquet, or .csv, .tsv or .txt for delimited text, each also
        compressed (.gz, .bz2, .zst).
    text, encoding
        Of delimited text, as for `lockstep.data.delimited.parse_delimited`.

    Raises
    ------
    DataError
        Another suffix, not of that format, no rows, or a column name that occurs twice.
    """
    stem, kind = name, Path(name).suffix.lower()
    if kind in _COMPRESSIONS:
        content = _decompress(content, name, _COMPRESSIONS[kind])
        stem = name[: -len(kind)]
        kind = Path(stem).suffix.lower()
    if kind == ".parquet":
        try:
            table = from_parquet(content)
        except DataError:
            raise DataError(f"{name} is no Parquet file, or is damaged. Write it again.") from None
    elif kind in _DELIMITED:
        table = parse_delimited(content, name, encoding, text)
    else:
        raise DataError(
            f"{name}: tables are read from .parquet, or from .csv, .tsv or .txt, which may be compressed (.gz, .bz2, "
            f".zst). Received: {kind or 'no suffix'!r}."
        )
    if table.num_rows == 0:
        raise DataError(f"{name} has no rows. Bring a table with rows below its header.")
    refuse_twice(table.column_names, name)
    return table


def refuse_twice(columns: Iterable[str], name: str) -> None:
    """Raise DataError if a column name occurs twice in the source `name`."""
    twice = sorted(column for column, times in Counter(columns).items() if times > 1)
    if twice:
        raise DataError(f"{name} has more than one column named {twice}. Rename all but one.")


def _decompress(content: bytes, name: str, codec: str) -> bytes:
    try:
        with pa.CompressedInputStream(pa.BufferReader(content), codec) as stream:
            return bytes(stream.read())
    except OSError:
        raise DataError(f"{name} is not compressed with {codec}, or is damaged. Write it again.") from None


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
        own = [unaudited(name) for name in table.column_names]
        raise DataError(f"{why} names {absent}, which the table lacks. It has: {own}.")


def typed_as(table: pa.Table, kinds: Mapping[str, Kind], who: str) -> pa.Table:
    """The columns that a model asks for, of the kinds that it was trained on.

    A short table may show a column of another type: all missing, or all digits.

    Parameters
    ----------
    kinds
        By name; a sensitive feature, or one that was dropped, is taken from under its audit name.
    who
        Asks for them.

    Raises
    ------
    DataError
        A column is missing, or holds numbers for text or text for numbers.
    """
    held = set(table.column_names)
    places = {n: audit(n) if n not in held and audit(n) in held else n for n in kinds}
    require(table, list(places.values()), who)
    return pa.table({n: _of_kind(n, table[places[n]], kind, who) for n, kind in kinds.items()})


def _of_kind(name: str, values: pa.ChunkedArray, kind: Kind, who: str) -> pa.ChunkedArray:
    if pa.types.is_null(values.type):
        return pc.cast(values, pa.string() if kind == "category" else pa.float64())
    if kind == "category" and pa.types.is_integer(values.type):
        return pc.cast(values, pa.string())
    if is_category(values.type) != (kind == "category"):
        held, wanted = ("numbers", "text") if kind == "category" else ("text", "numbers")
        raise DataError(
            f"Column {name!r} holds {held}; {who[:1].lower()}{who[1:]} needs {wanted}. Convert it."
        )
    return values


def _is_text(dtype: pa.DataType) -> bool:
    return pa.types.is_string(dtype) or pa.types.is_large_string(dtype)


def wide(schema: pa.Schema) -> pa.Schema:
    """`schema` with room in each dictionary's indices for the values of several dictionaries together."""
    return pa.schema([field.with_type(_wide(field.type)) for field in schema], schema.metadata)


def _wide(dtype: pa.DataType) -> pa.DataType:
    if not pa.types.is_dictionary(dtype):
        return dtype
    return pa.dictionary(pa.int32(), dtype.value_type, dtype.ordered)


def is_category(dtype: pa.DataType) -> bool:
    """Whether a column of this type holds categories, not numbers."""
    value = dtype.value_type if pa.types.is_dictionary(dtype) else dtype
    return _is_text(value) or pa.types.is_boolean(value)


def values_of(column: pa.ChunkedArray) -> npt.NDArray[np.object_]:
    """Values as Python objects, None for a missing one, shape (n,).

    Equal ones are one object, so that many rows take eight bytes each.
    """
    column = column.cast(_wide(column.type))
    encoded = pa.chunked_array([column.combine_chunks()]).dictionary_encode().combine_chunks()
    values = [*encoded.dictionary.to_pylist(), None]
    distinct = np.empty(len(values), dtype=object)
    distinct[:] = values
    return distinct[pc.fill_null(encoded.indices, len(values) - 1).to_numpy()]


class RawColumns(Mapping[str, npt.NDArray[Any]]):
    """Columns as `lockstep.data.encoding.Encoder` takes them, each made anew whenever it is asked for.

    A sensitive feature that is dropped from the features is read under its audit name. An item is an array of shape
    (n_rows,): float64 with NaN for a missing number, object (str) with None for a missing category.

    Raises
    ------
    DataError
        By an item: the column holds neither numbers nor categories (dates, lists, binary).
    """

    def __init__(self, table: pa.Table, names: Sequence[str]) -> None:
        held = set(table.column_names)
        self._columns = {name: table[name if name in held else audit(name)] for name in names}

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return _raw_column(name, self._columns[name])

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


def plain(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """`column` without dictionary encoding."""
    return pc.cast(column, column.type.value_type) if pa.types.is_dictionary(column.type) else column


def raw_columns(table: pa.Table, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """All of `RawColumns` at once: of few rows, or where columns are asked for several times; raises as these do."""
    return dict(RawColumns(table, names))


def _raw_column(name: str, column: pa.ChunkedArray) -> npt.NDArray[Any]:
    if is_category(column.type):
        if pa.types.is_dictionary(column.type) and _is_text(column.type.value_type):
            return values_of(column)
        return values_of(pc.cast(plain(column), pa.string()))
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
