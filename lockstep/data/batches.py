"""A table as record batches: what does not fit in memory is looked at part by part, as often as it takes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from lockstep.data.sources import read_content
from lockstep.data.tables import parse_source, refuse_twice, wide
from lockstep.errors import DataError

BATCH_ROWS = 1 << 16

_BATCH_BYTES = 64 << 20
_GROUP_BYTES = 64 << 20


class Batches(Protocol):
    """A table that gives its rows batch by batch, in one order, as often as it is asked.

    Attributes
    ----------
    schema
        Names and types of its columns.
    num_rows
        Rows of all batches.
    """

    schema: pa.Schema
    num_rows: int

    def batches(
        self, columns: Sequence[str] | None = None, rows: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Batches of `columns` (None: of all) of at most `rows` rows."""
        ...

    def read(self, columns: Sequence[str]) -> pa.Table:
        """All rows of `columns`."""
        ...

    def nulls(self, column: str) -> int:
        """Rows in which `column` is missing."""
        ...


class TableBatches:
    """A table in memory as `Batches`."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self.schema = table.schema
        self.num_rows = table.num_rows

    def batches(
        self, columns: Sequence[str] | None = None, rows: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """As `Batches.batches`; a batch ends where the table's chunks do."""
        table = self._table if columns is None else self._table.select(list(columns))
        yield from table.to_batches(max_chunksize=rows or BATCH_ROWS)

    def read(self, columns: Sequence[str]) -> pa.Table:
        """As `Batches.read`."""
        return self._table.select(list(columns))

    def nulls(self, column: str) -> int:
        """As `Batches.nulls`."""
        return int(self._table[column].null_count)


class ParquetBatches:
    """An open Parquet file, perhaps a sealed one, as `Batches`.

    Raises
    ------
    DataError
        It is no Parquet file, or a damaged one: at construction or by any read.
    """

    def __init__(self, file: BinaryIO | Any, name: str) -> None:
        self._name = name
        with self._readable():
            self._parquet = pq.ParquetFile(file)
        self.schema = wide(self._parquet.schema_arrow.remove_metadata())
        self.num_rows = self._parquet.metadata.num_rows

    def batches(
        self, columns: Sequence[str] | None = None, rows: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """As `Batches.batches`."""
        names = self.schema.names if columns is None else list(columns)
        iterator = self._parquet.iter_batches(batch_size=rows or self._batch_rows(), columns=names)
        while True:
            with self._readable():
                batch = next(iterator, None)
            if batch is None:
                return
            yield batch.select(names).replace_schema_metadata(None).cast(self._of(names))

    def read(self, columns: Sequence[str]) -> pa.Table:
        """As `Batches.read`."""
        with self._readable():
            table = self._parquet.read(columns=list(columns))
        return table.select(list(columns)).replace_schema_metadata(None).cast(self._of(columns))

    def nulls(self, column: str) -> int:
        """As `Batches.nulls`; from the file's statistics where it has them."""
        metadata = self._parquet.metadata
        path = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
        if column in path:
            at = path.index(column)
            groups = [metadata.row_group(i).column(at).statistics for i in range(metadata.num_row_groups)]
            if all(group is not None and group.has_null_count for group in groups):
                return sum(group.null_count for group in groups)
        return sum(int(batch.column(0).null_count) for batch in self.batches([column]))

    def _of(self, columns: Sequence[str]) -> pa.Schema:
        return pa.schema([self.schema.field(name) for name in columns])

    def _batch_rows(self) -> int:
        """Fewer rows where they are wide; known from the file alone, so that a batch never depends on the machine."""
        metadata = self._parquet.metadata
        total = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
        wide = max(total // max(self.num_rows, 1), 8 * metadata.num_columns)
        return max(1024, min(BATCH_ROWS, _BATCH_BYTES // wide // 1024 * 1024))

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError):
            raise DataError(f"{self._name} is no Parquet file, or is damaged. Write it again.") from None


@contextmanager
def open_batches(
    path: Path, digest: Callable[[bytes], str], encoding: str = "utf-8"
) -> Iterator[tuple[Batches, str]]:
    """Open the source that a stage is given, and give it with the SHA-256 of its content.

    A Parquet file is read batch by batch, and looked at once more at the end; what else there is, is read whole.

    Parameters
    ----------
    path, digest
        As for `lockstep.data.sources.read_content`.
    encoding
        Of delimited text without a byte order mark.

    Raises
    ------
    DataError
        As `read_content` and `lockstep.data.tables.parse_source` do; at the end, where the file changed meanwhile.
    """
    if path.suffix.lower() != ".parquet" or not path.is_file():
        content, name = read_content(path, digest)
        table = parse_source(content, name, encoding=encoding)
        yield TableBatches(table), hashlib.sha256(content).hexdigest()
        return
    with path.open("rb") as file:
        before = hashlib.file_digest(file, "sha256").hexdigest()
        batches = ParquetBatches(file, str(path))
        if batches.num_rows == 0:
            raise DataError(f"{path} has no rows. Bring a table with rows below its header.")
        refuse_twice(batches.schema.names, str(path))
        yield batches, before
        file.seek(0)
        if hashlib.file_digest(file, "sha256").hexdigest() != before:
            raise DataError(f"{path} changed while it was read. Run the stage again.")


class ParquetSink:
    """Writes record batches as one Parquet file, as `lockstep.data.tables.to_parquet` writes a table.

    A table of up to 64 MiB in memory is one row group, and its bytes are those of `to_parquet`; a larger one has
    several, so that it is never in memory as a whole.
    """

    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(file, schema.remove_metadata(), compression="zstd")
        self._pending: list[pa.RecordBatch] = []
        self._bytes = 0
        self._schema = schema.remove_metadata()

    def write(self, batch: pa.RecordBatch) -> None:
        """Take the next rows."""
        if not batch.num_rows:
            return
        self._pending.append(batch)
        self._bytes += batch.nbytes
        if self._bytes >= _GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        """Write what is left; the file is whole then."""
        if self._pending:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        # Where the chunks of a column end would show in the pages.
        table = pa.Table.from_batches(self._pending, self._schema).combine_chunks()
        self._pending, self._bytes = [], 0
        self._writer.write_table(table, row_group_size=table.num_rows)


def write_parquet(file: BinaryIO, table: Batches) -> None:
    """Write all rows of `table` as one Parquet file by `ParquetSink`."""
    sink = ParquetSink(file, table.schema)
    for batch in table.batches():
        sink.write(batch)
    sink.close()
