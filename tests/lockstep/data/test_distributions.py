"""What the page shows is right, and shared by at least k rows."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lockstep.data.batches import TableBatches
from lockstep.data.checking import check
from lockstep.data.distributions import OTHER, distributions
from lockstep.data.profile import profile
from lockstep.data.validation_page import page

TABLE = pa.table(
    {
        "city": ["Ulm"] * 60 + ["Bonn"] * 37 + ["Zwiesel"] * 3,
        "age": [*range(20, 70), *[30] * 49, 987],
        "gone": pa.nulls(100, pa.int64()),
        "label": ["yes"] * 20 + ["no"] * 80,
    }
)


def test_shares_are_of_categories_and_bins_that_enough_rows_have() -> None:
    suite = profile(TABLE, "label", 5)
    by_column = {d.column: d for d in distributions(TableBatches(TABLE), suite, 5)}
    city = by_column["city"]
    assert dict(zip(city.labels, city.shares, strict=True)) == {"Ulm": 0.6, "Bonn": 0.37}
    assert city.reference == pytest.approx((0.6186, 0.3814))
    pooled = {d.column: d for d in distributions(TableBatches(TABLE), suite, 2)}["city"]
    assert (pooled.labels[-1], pooled.shares[-1]) == (OTHER, 0.03)
    age = by_column["age"]
    assert (age.numeric, age.labels[0], age.labels[-1]) == (True, "10", "1000")
    assert age.shares[-1] == 0.0
    assert sum(age.shares) == pytest.approx(0.99)
    assert (by_column["gone"].missing, by_column["gone"].shares) == (1.0, ())


def test_the_page_names_no_rare_category_and_no_extreme() -> None:
    suite = profile(TABLE, "label", 5)
    table = TableBatches(TABLE)
    drawn = page(TABLE.num_rows, check(table, suite), distributions(table, suite, 5), 5)
    assert "Ulm" in drawn
    assert "All" in drawn
    assert "Zwiesel" not in drawn
    assert "987" not in drawn


def test_the_page_escapes_what_a_column_is_called() -> None:
    table = TableBatches(pa.table({"<script>": ["a", "b"]}))
    suite = [{"type": "expect_column_values_to_be_unique", "kwargs": {"column": "<script>"}}]
    assert "<script>" not in page(2, check(table, suite), distributions(table, suite, 1), 1)
