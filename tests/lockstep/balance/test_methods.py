"""Every resampling method keeps its promise."""

from __future__ import annotations

import numpy as np
import pytest

from lockstep.balance.methods import METHODS, resample

LABELS = np.arange(1000) % 20 == 0


@pytest.mark.parametrize("method", METHODS)
def test_made_rows_are_marked_and_no_row_is_invented(method: str) -> None:
    rows, made, weights = resample(method, LABELS, 0.25, 3)
    assert len(rows) == len(made) == len(weights)
    assert set(rows) <= set(range(1000))
    originals = rows[~made]
    assert len(set(originals)) == len(originals)
    assert LABELS[rows[made]].all()
    assert weights.mean() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("method", [m for m in METHODS if m != "none"])
def test_the_wanted_ratio_is_met(method: str) -> None:
    rows, _, weights = resample(method, LABELS, 0.25, 3)
    positive = LABELS[rows]
    assert weights[positive].sum() / weights[~positive].sum() == pytest.approx(0.25, rel=0.01)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_balanced_enough_stays(method: str) -> None:
    rows, made, weights = resample(method, LABELS, 0.01, 3)
    assert rows.tolist() == list(range(1000))
    assert not made.any()
    assert (weights == 1).all()


@pytest.mark.parametrize("method", METHODS)
def test_the_minority_may_be_the_negative_class(method: str) -> None:
    rows, _, weights = resample(method, ~LABELS, 0.25, 3)
    negative = LABELS[rows]
    share = weights[negative].sum() / weights[~negative].sum()
    assert share == pytest.approx(0.25 if method != "none" else 50 / 950, rel=0.01)


def test_the_seed_decides() -> None:
    first = resample("over", LABELS, 0.25, 1).rows
    assert (first == resample("over", LABELS, 0.25, 1).rows).all()
    assert (first != resample("over", LABELS, 0.25, 2).rows).any()
