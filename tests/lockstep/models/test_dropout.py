"""Dropout by bytes drops the share that it was asked for, keeps the mean, and draws anew each time."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from lockstep.models.dropout import dropout_class


def dropped(share: float, shape: tuple[int, ...], seed: int = 3) -> np.ndarray:
    keras.utils.set_random_seed(seed)
    layer = dropout_class()(share, 1)
    return layer(np.ones(shape, dtype=np.float32), training=True).numpy()


@pytest.mark.parametrize(
    ("share", "acts"), [(0.3, 77 / 256), (0.5, 0.5), (1e-6, 1 / 256), (0.9999, 255 / 256)]
)
def test_a_unit_is_dropped_with_the_nearest_of_the_shares_and_the_mean_stays(
    share: float, acts: float
) -> None:
    found = dropped(share, (1000, 7, 101))
    error = 5 * np.sqrt(acts * (1 - acts) / found.size)
    assert abs((found == 0).mean() - acts) < error
    assert set(np.unique(found)) == {np.float32(0), np.float32(1 / (1 - acts))}


@pytest.mark.parametrize("axis", [0, 1])
def test_rows_and_units_are_dropped_apart_from_each_other(axis: int) -> None:
    shares = (dropped(0.5, (400, 403)) == 0).mean(axis=axis)
    assert abs(shares - 0.5).max() < 5 * np.sqrt(0.25 / 400)


def test_each_call_draws_anew_and_the_seed_decides() -> None:
    keras.utils.set_random_seed(1)
    layer, rows = dropout_class()(0.5, 1), np.ones((3, 5), dtype=np.float32)
    first, second = layer(rows, training=True).numpy(), layer(rows, training=True).numpy()
    assert (first != second).any()
    keras.utils.set_random_seed(1)
    np.testing.assert_array_equal(dropout_class()(0.5, 1)(rows, training=True), first)
    np.testing.assert_array_equal(layer(rows, training=False), rows)
