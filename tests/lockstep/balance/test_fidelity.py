"""The fidelity report tells good rows from bad ones, and copies from new rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lockstep.balance.fidelity import fidelity


def rows(n: int, seed: int) -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    kind = np.where(x + rng.normal(size=n) > 0, "a", "b").astype(object)
    return {"x": x, "y": x + 0.3 * rng.normal(size=n), "kind": kind, "other": rng.choice(["u", "v", None], n)}


REAL = rows(3000, 0)


def test_rows_of_the_same_kind_are_like_them_and_no_nearer_than_chance() -> None:
    found = fidelity(REAL, rows(1500, 1), 5)
    assert (found["n_real"], found["n_made"]) == (3000, 1500)
    assert found["column_shapes"]["mean"] > 0.95
    assert list(found["column_shapes"]["by_column"]) == ["kind", "other", "x", "y"]
    assert found["pair_trends"] > 0.93
    assert found["nearest"]["share_closer_than_chance"] == pytest.approx(0.05, abs=0.03)
    assert max(found["nearest"]["share_identical"].values()) < 0.01
    assert found == fidelity(REAL, rows(1500, 1), 5)


def test_copies_are_found() -> None:
    copies = {name: raw[:1500] for name, raw in REAL.items()}
    found = fidelity(REAL, copies, 5)["nearest"]
    # Half of the real rows are what distances are measured to.
    assert found["share_identical"]["made"] == pytest.approx(0.5, abs=0.06)
    assert found["share_closer_than_chance"] > 0.4


def test_a_column_that_is_off_and_trends_that_are_lost_are_seen() -> None:
    made = rows(1500, 1)
    shifted = made | {"x": made["x"] + 3}
    assert fidelity(REAL, shifted, 5)["column_shapes"]["by_column"]["x"] < 0.2
    shuffled = made | {"y": np.random.default_rng(2).permutation(made["y"])}
    lost = fidelity(REAL, shuffled, 5)
    assert lost["column_shapes"]["by_column"]["y"] > 0.95
    assert lost["pair_trends"] < fidelity(REAL, made, 5)["pair_trends"] - 0.05
