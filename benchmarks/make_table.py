"""A table of any number of rows: those of the Census table again and again, with noise.

`python -m benchmarks.make_table 10000000 big.parquet` after `make run`. Numbers move by up to a hundredth of their
range in the table, and one category in a hundred is that of another row, so that hardly two rows are equal.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lockstep.data.batches import ParquetSink

SOURCE = Path("data/raw/census.parquet")
KEPT = ("income", "split")
"""Columns that stay as they are."""

_BATCH = 1 << 16


def make_table(source: pa.Table, n_rows: int, path: Path, seed: int = 0) -> None:
    """Write `n_rows` rows, drawn from those of `source` with replacement, as Parquet."""
    rng = np.random.default_rng(seed)
    with path.open("wb") as file:
        sink = ParquetSink(file, source.schema)
        for start in range(0, n_rows, _BATCH):
            size = min(_BATCH, n_rows - start)
            drawn, others = (source.take(rng.integers(0, len(source), size)) for _ in range(2))
            columns = [
                _noisy(name, drawn[name], others[name], source[name], rng) for name in source.column_names
            ]
            sink.write(pa.record_batch([c.combine_chunks() for c in columns], schema=source.schema))
        sink.close()


def _noisy(
    name: str,
    drawn: pa.ChunkedArray,
    other: pa.ChunkedArray,
    column: pa.ChunkedArray,
    rng: np.random.Generator,
) -> pa.ChunkedArray:
    if name in KEPT:
        return drawn
    if pa.types.is_string(column.type):
        return pc.if_else(pa.chunked_array([rng.random(len(drawn)) < 0.01]), other, drawn)
    extremes = pc.min_max(column).as_py()
    reach = (extremes["max"] - extremes["min"]) / 100
    # A zero stays one: most capital gains are none.
    noise = np.where(drawn.to_numpy() == 0, 0.0, rng.uniform(-reach, reach, len(drawn)))
    moved = np.clip(drawn.to_numpy() + noise, extremes["min"], extremes["max"])
    return pa.chunked_array([moved.astype(column.type.to_pandas_dtype())])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rows", type=int)
    parser.add_argument("table", type=Path)
    options = parser.parse_args()
    make_table(pq.read_table(SOURCE), options.rows, options.table)


if __name__ == "__main__":
    main()
