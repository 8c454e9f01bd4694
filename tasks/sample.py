"""Stage `sample`: the public Census table of the demo, both files in one Parquet with a `split` column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from lockstep.data import census
from lockstep.data.tables import to_parquet
from lockstep.files import write_atomic
from tasks._params import Params, key, load_params
from tasks._stage import arguments, command, measured


class SampleParams(Params):
    section = "sample"

    share: float = key("sample.share", gt=0, le=1)


def run(parts: Mapping[str, pa.Table], params: SampleParams) -> pa.Table:
    """Join the source's files, keeping `params.share` of the rows of each, spread evenly.

    Parameters
    ----------
    parts
        Tables of equal columns by their name in the new column ``split``.
    """
    thinned = {name: _thin(table, params.share) for name, table in parts.items()}
    return pa.concat_tables(
        table.append_column("split", pa.repeat(name, len(table))) for name, table in thinned.items()
    )


def _thin(table: pa.Table, share: float) -> pa.Table:
    steps = np.floor(np.arange(len(table) + 1) * share)
    return table.take(np.flatnonzero(np.diff(steps) > 0))


def main(argv: Sequence[str] | None = None) -> None:
    args = arguments("sample", argv, "table")
    params = load_params(SampleParams, args.params)
    with measured("sample"):
        table = run({part: census.read_census(part) for part in ("train", "test")}, params)
        write_atomic(args.table, to_parquet(table))


if __name__ == "__main__":
    command(main)
