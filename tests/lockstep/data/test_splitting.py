"""Splits keep identical rows together, classes balanced, and depend on the seed alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.data.splitting import folds, hold_out, identical
from lockstep.errors import DataError


def test_missing_values_count_as_equal() -> None:
    frame = pd.DataFrame({"a": ["x", "x", None, None, "x"], "b": [1.0, np.nan, np.nan, np.nan, 1.0]})
    groups = identical(frame, ["a", "b"])
    assert groups[0] == groups[4]
    assert groups[2] == groups[3]
    assert len(set(groups)) == 3


@given(
    groups=st.lists(st.integers(0, 40), min_size=60, max_size=300),
    share=st.floats(0.2, 0.6),
    seed=st.integers(0, 2**31),
)
def test_property_no_group_stands_on_both_sides(groups: list[int], share: float, seed: int) -> None:
    labels = np.arange(len(groups)) % 3 == 0
    try:
        chosen = hold_out(np.array(groups), labels, share, seed)
    except DataError:
        return
    assert not set(np.array(groups)[chosen]) & set(np.array(groups)[~chosen])


def test_classes_are_stratified() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random(20_000) < 0.06
    chosen = hold_out(np.arange(20_000), labels, 0.1, 7)
    assert chosen.mean() == pytest.approx(0.1, abs=0.001)
    assert labels[chosen].mean() == pytest.approx(labels.mean(), abs=0.001)


def test_the_seed_decides() -> None:
    groups, labels = np.arange(500), np.arange(500) % 5 == 0
    first = hold_out(groups, labels, 0.3, 1)
    np.testing.assert_array_equal(first, hold_out(groups, labels, 0.3, 1))
    assert (first != hold_out(groups, labels, 0.3, 2)).any()


def test_a_class_of_one_row_cannot_be_split() -> None:
    labels = np.arange(50) == 0
    with pytest.raises(DataError, match="A class of 1 rows is too small"):
        hold_out(np.arange(50), labels, 0.2, 0)


@given(
    groups=st.lists(st.integers(0, 40), min_size=60, max_size=300),
    n_folds=st.integers(2, 6),
    seed=st.integers(0, 2**31),
)
def test_property_no_group_stands_in_two_folds(groups: list[int], n_folds: int, seed: int) -> None:
    labels = np.arange(len(groups)) % 3 == 0
    try:
        fold = folds(np.array(groups), labels, n_folds, seed)
    except DataError:
        return
    assert set(fold) == set(range(n_folds))
    of_group: dict[int, set[int]] = {}
    for group, number in zip(groups, fold.tolist(), strict=True):
        of_group.setdefault(group, set()).add(number)
    assert all(len(numbers) == 1 for numbers in of_group.values())


def test_folds_are_stratified_and_of_one_size() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random(20_000) < 0.06
    fold = folds(np.arange(20_000), labels, 5, 7)
    for number in range(5):
        assert np.mean(fold == number) == pytest.approx(0.2, abs=0.001)
        assert labels[fold == number].mean() == pytest.approx(labels.mean(), abs=0.001)
    assert (fold != folds(np.arange(20_000), labels, 5, 8)).any()


def test_a_class_that_is_too_small_for_the_folds() -> None:
    with pytest.raises(DataError, match="A class of 3 rows is too small for 5 folds"):
        folds(np.arange(50), np.arange(50) < 3, 5, 0)
