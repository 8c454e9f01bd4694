"""The Census table as its documentation describes it."""

from __future__ import annotations

import pyarrow.compute as pc

from lockstep.data.census import COLUMNS, read_census


def test_the_census_table_is_complete() -> None:
    train, test = read_census("train"), read_census("test")
    assert (len(train), len(test)) == (199_523, 99_762)
    assert train.column_names == COLUMNS == test.column_names
    assert set(pc.unique(train["income"]).to_pylist()) == {"- 50000.", "50000+."}
    assert pc.sum(pc.equal(train["income"], "50000+.")).as_py() == 12_382
    assert set(pc.unique(train["sex"]).to_pylist()) == {"Female", "Male"}
    # "NA" is a category of this column, "?" is a missing value.
    assert pc.sum(pc.equal(train["hispanic_origin"], "NA")).as_py() == 874
    assert train["migration_code_change_in_msa"].null_count == 99_696
