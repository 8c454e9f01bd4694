"""Digests group rows as pandas does, however the rows are batched."""

from __future__ import annotations

import datetime
import math

import numpy as np
import pyarrow as pa
import pytest

from lockstep.data.batches import TableBatches
from lockstep.data.row_digests import identical_rows
from lockstep.data.splitting import identical

RNG = np.random.default_rng(0)
N = 5000
TABLE = pa.table(
    {
        "word": pa.array(RNG.choice(["a", "b", "", "null"], N), mask=RNG.random(N) < 0.1),
        "whole": pa.array(RNG.integers(-2, 2, N), mask=RNG.random(N) < 0.1),
        "part": RNG.choice([0.0, 0.5, math.nan], N),
        "flag": pa.array(RNG.random(N) < 0.5, mask=RNG.random(N) < 0.1),
        "day": pa.array(RNG.choice([datetime.date(2026, 1, 1), datetime.date(2026, 1, 2)], N)),
    }
)


@pytest.mark.parametrize("columns", [TABLE.column_names, ["word"], ["whole", "part"], ["flag", "day"]])
def test_groups_are_those_of_pandas(columns: list[str]) -> None:
    chunked = pa.concat_tables([TABLE.slice(0, 700), TABLE.slice(700)])
    found = identical_rows(TableBatches(chunked), columns)
    assert (found == identical(TABLE.to_pandas(), columns)).all()


def test_negative_zero_and_zero_are_equal_and_a_missing_value_is_no_zero() -> None:
    table = pa.table({"x": pa.array([0.0, -0.0, None, math.nan, 1.0])})
    assert identical_rows(TableBatches(table), ["x"]).tolist() == [0, 0, 1, 1, 2]


def test_columns_that_change_places_are_other_rows() -> None:
    table = pa.table({"a": ["x", "y"], "b": ["y", "x"]})
    assert identical_rows(TableBatches(table), ["a", "b"]).tolist() == [0, 1]
