"""Accidents keep to what the training rows make plausible, and grow with their strength."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.data.plausible import Plausible
from lockstep.data.tables import raw_columns
from lockstep.evaluation.robustness.accidents import missing, noise, swapped

RNG = np.random.default_rng(8)
SIZE = 500
TABLE = pa.table(
    {
        "age": pa.array(RNG.integers(18, 80, SIZE), mask=RNG.random(SIZE) < 0.1),
        "gains": np.where(RNG.random(SIZE) < 0.8, 0.0, RNG.exponential(900, SIZE)),
        "rating": RNG.integers(1, 5, SIZE).astype(float),
        "job": pa.array(RNG.choice(["clerk", "cook", "smith"], SIZE, p=[0.7, 0.2, 0.1]), mask=RNG.random(SIZE) < 0.1),
        "member": RNG.random(SIZE) < 0.5,
        "country": ["here"] * SIZE,
        "huge": np.where(RNG.random(SIZE) < 0.5, 1e308, -1e308) * RNG.random(SIZE),
    }
)  # fmt: skip
NAMES = TABLE.column_names
PLAUSIBLE = Plausible.fit(TABLE, NAMES)
RAW = raw_columns(TABLE, NAMES)


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def test_amounts_and_choices_are_told_apart() -> None:
    assert set(PLAUSIBLE.amounts) == {"age", "gains"}
    assert set(PLAUSIBLE.choices) == {"rating", "job", "member"}
    age, gains = PLAUSIBLE.amounts["age"], PLAUSIBLE.amounts["gains"]
    assert (age.whole, age.marks) == (True, ())
    assert (gains.whole, gains.marks) == (False, (0.0,))
    present = RAW["gains"][RAW["gains"] > 0]
    assert gains.spread == pytest.approx(present.std())
    job = PLAUSIBLE.choices["job"]
    assert list(job.values) == ["clerk", "cook", "smith"]
    held = RAW["job"][RAW["job"] != None]  # noqa: E711
    np.testing.assert_allclose(job.shares, [np.mean(held == one) for one in job.values])


@given(st.floats(0.01, 5.0))
def test_property_noise_keeps_to_plausible_bounds(strength: float) -> None:
    found = noise(RAW, PLAUSIBLE, strength, rng())
    for name, amount in PLAUSIBLE.amounts.items():
        moved, before = found[name], RAW[name]
        np.testing.assert_array_equal(np.isnan(moved), np.isnan(before))
        known = moved[~np.isnan(moved)]
        assert known.min() >= amount.low
        assert known.max() <= amount.high
        np.testing.assert_array_equal(moved[before == 0.0], 0.0)
    ages = found["age"][~np.isnan(found["age"])]
    np.testing.assert_array_equal(ages, np.rint(ages))
    assert all(found[name] is RAW[name] for name in PLAUSIBLE.choices)


def test_noise_is_of_so_many_standard_deviations() -> None:
    moved = noise(RAW, PLAUSIBLE, 0.1, rng())["age"] - RAW["age"]
    inside = (RAW["age"] > 25) & (RAW["age"] < 73)
    assert moved[inside].std() == pytest.approx(0.1 * PLAUSIBLE.amounts["age"].spread, rel=0.15)


def test_a_row_beyond_the_training_rows_is_drawn_no_nearer() -> None:
    old = {**RAW, "age": np.full(SIZE, 120.0)}
    moved = noise(old, PLAUSIBLE, 0.1, rng())["age"]
    assert moved.max() == 120.0
    assert moved.min() > 100.0


CHOICES = set(PLAUSIBLE.choices)


@pytest.mark.parametrize(
    ("accident", "columns"), [(missing, CHOICES | set(PLAUSIBLE.amounts)), (swapped, CHOICES)]
)
def test_a_stronger_accident_hits_the_same_cells_and_more(accident: Any, columns: set[str]) -> None:
    def hit(strength: float) -> dict[str, Any]:
        found = accident(RAW, PLAUSIBLE, strength, rng())
        return {name: np.array([str(v) for v in found[name]]) != RAW[name].astype(str) for name in NAMES}

    few, many = hit(0.1), hit(0.4)
    for name in NAMES:
        assert not (few[name] & ~many[name]).any()
        assert few[name].any() == (name in columns)
    if accident is missing:
        assert np.mean([many[name].mean() for name in ("rating", "gains")]) == pytest.approx(0.4, abs=0.05)


def test_swapped_categories_come_as_often_as_in_training() -> None:
    jobs = swapped(RAW, PLAUSIBLE, 1.0, rng())["job"]
    for value, share in zip(*vars(PLAUSIBLE.choices["job"]).values(), strict=True):
        assert np.mean(jobs == value) == pytest.approx(share, abs=0.06)


@pytest.mark.parametrize("accident", [noise, missing, swapped])
def test_the_rows_given_stay_as_they_are(accident: Any) -> None:
    before = {name: values.copy() for name, values in RAW.items()}
    first, second = (accident(RAW, PLAUSIBLE, 0.3, rng()) for _ in range(2))
    for name in NAMES:
        np.testing.assert_array_equal(RAW[name], before[name])
        np.testing.assert_array_equal(first[name], second[name])
