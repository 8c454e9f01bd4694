"""A table meets the suite that `lockstep init` writes for it, whatever it holds."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_breast_cancer, load_wine

from lockstep.data.batches import TableBatches
from lockstep.data.checking import check
from lockstep.data.profile import profile, to_json
from lockstep.data.tables import from_parquet, to_parquet

RNG = np.random.default_rng(0)
N = 100
MOMENT = datetime.datetime(2020, 1, 1)
ODD = pa.table(
    {
        "empty": pa.nulls(N),
        "boolean": [True, False] * (N // 2),
        "boolean with gaps": [True, None] * (N // 2),
        "day": [datetime.date(2020, 1, 1)] * N,
        "moment": [MOMENT, None] * (N // 2),
        "moment of a zone": [MOMENT.replace(tzinfo=datetime.UTC)] * N,
        "time of day": [datetime.time(1, 2)] * N,
        "decimal": [Decimal(i) / 4 for i in range(N)],
        "dictionary": pa.array(["a", "b"] * (N // 2)).dictionary_encode(),
        "list": [[1]] * N,
        "binary": [b"x"] * N,
        "infinite": [np.inf, *[1.0] * (N - 1)],
        "large": [2**60] * (N - 1) + [5],
        "small integer": pa.array(RNG.integers(0, 9, N), pa.uint8()),
        "integer with gaps": pa.array([1, None] * (N // 2), pa.int32()),
        "large string": pa.array(["p", "q"] * (N // 2), pa.large_string()),
        "single": pa.array(RNG.random(N), pa.float32()),
        "many values": RNG.integers(0, 95, N),
        "y": ["no", "yes"] * (N // 2),
    }
)
TABLES = {
    "odd": (ODD, "y"),
    "breast cancer": (pa.Table.from_pandas(load_breast_cancer(as_frame=True).frame), "target"),
    "wine": (pa.Table.from_pandas(load_wine(as_frame=True).frame), "target"),
}


@pytest.mark.parametrize(("name", "min_category_rows"), [("odd", 5), ("breast cancer", 20), ("wine", 20)])
def test_a_table_meets_its_own_profile(name: str, min_category_rows: int) -> None:
    table, target = TABLES[name]
    suite = json.loads(to_json(profile(table, target, min_category_rows), "s"))["expectations"]
    results = check(TableBatches(from_parquet(to_parquet(table))), suite)
    assert {result.column for result in results} >= set(table.column_names) - {"empty", "dictionary"}
    assert [(r.column, r.expectation, r.observed) for r in results if not r.passed] == []
