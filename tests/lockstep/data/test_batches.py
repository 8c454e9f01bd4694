"""A table by batches is the table, read and written."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lockstep.data import batches as module
from lockstep.data.batches import ParquetBatches, ParquetSink, TableBatches, open_batches, write_parquet
from lockstep.data.tables import from_parquet, to_parquet
from lockstep.errors import DataError

RNG = np.random.default_rng(0)
N = 200_000
TABLE = pa.table(
    {
        "number": RNG.integers(0, 1000, N),
        "gaps": pa.array(RNG.integers(0, 9, N), mask=RNG.random(N) < 0.1),
        "word": RNG.choice(["one", "two", "three", "a longer one"], N),
    }
)
CONTENT = to_parquet(TABLE)


def written(batches: module.Batches, keep: np.ndarray | None = None) -> bytes:
    file, at = io.BytesIO(), 0
    sink = ParquetSink(file, batches.schema)
    for batch in batches.batches():
        rows = batch if keep is None else batch.filter(pa.array(keep[at : at + len(batch)]))
        at += len(batch)
        sink.write(rows)
    sink.close()
    return file.getvalue()


def test_what_is_written_by_batches_has_the_bytes_of_the_whole() -> None:
    keep = RNG.random(N) < 0.3
    batches = ParquetBatches(io.BytesIO(CONTENT), "t")
    assert written(batches) == CONTENT
    assert written(batches, keep) == to_parquet(TABLE.filter(pa.array(keep)))
    assert written(TableBatches(TABLE)) == CONTENT


def test_a_large_table_has_several_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GROUP_BYTES", 1 << 20)
    content = written(TableBatches(TABLE))
    assert ParquetBatches(io.BytesIO(content), "t")._parquet.num_row_groups > 3
    assert from_parquet(content) == TABLE
    assert ParquetBatches(io.BytesIO(content), "t").nulls("gaps") == TABLE["gaps"].null_count


def test_columns_are_read_in_the_order_asked_for() -> None:
    batches = ParquetBatches(io.BytesIO(CONTENT), "t")
    assert batches.read(["word", "number"]) == TABLE.select(["word", "number"])
    first = next(batches.batches(["word", "gaps"], rows=10))
    assert (first.schema.names, first.num_rows) == (["word", "gaps"], 10)


def test_an_empty_table_is_written_too() -> None:
    empty = TABLE.slice(0, 0)
    assert from_parquet(written(TableBatches(empty))) == empty


@pytest.mark.parametrize(
    ("content", "words"),
    [(CONTENT[: len(CONTENT) // 2], "no Parquet file"), (to_parquet(TABLE.slice(0, 0)), "has no rows")],
)
def test_an_unusable_source_is_named(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{path}.*{words}"), open_batches(path, lambda _: ""):
        pass


def test_a_source_that_changes_meanwhile_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(CONTENT)
    with (
        pytest.raises(DataError, match="changed while it was read"),
        open_batches(path, lambda _: ""),
        path.open("r+b") as file,
    ):
        file.write(b"x")


def test_dictionaries_of_narrow_indices_are_written_and_read() -> None:
    parts = [[f"{letter}{i}" for i in range(100)] for letter in "ab"]
    narrow = pa.dictionary(pa.int8(), pa.string())
    source, copy = io.BytesIO(), io.BytesIO()
    table = pa.table({"word": pa.chunked_array([pa.array(part).cast(narrow) for part in parts])})
    pq.write_table(table, source, row_group_size=100)
    write_parquet(copy, ParquetBatches(io.BytesIO(source.getvalue()), "source"))
    for content in (source, copy):
        read = from_parquet(content.getvalue())
        assert read["word"].combine_chunks().to_pylist() == [*parts[0], *parts[1]]
        assert from_parquet(to_parquet(read))["word"].to_pylist() == read["word"].to_pylist()
