"""Thresholds of groups make equal what they are for, at the cost that they are told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lockstep.bundle.decision import Decision, Steps
from lockstep.data.encoding import Input
from lockstep.errors import DataError
from lockstep.fairness.group_thresholds import Enough, fit
from lockstep.fairness.methods import Constraint

RNG = np.random.default_rng(0)
N = 3000
GROUP = RNG.choice(["a", "b", "c"], N, p=[0.6, 0.35, 0.05]).astype(object)
LABELS = RNG.random(N) < np.where(GROUP == "a", 0.35, 0.15)
SCORE = np.round(np.clip(0.25 * LABELS + 0.1 * (GROUP == "a") + RNG.beta(2, 4, N), 0, 1), 3)
GROUP[:20] = None
SENSITIVE = {"g": GROUP}
ENOUGH = Enough(200, 20)


def fitted(constraint: Constraint, cost: float, enough: Enough = ENOUGH) -> dict[Any, Steps | None]:
    groups, others = fit(LABELS, SCORE, SENSITIVE, constraint, cost, enough, 1)
    return {**groups, None: others}


def chances(constraint: Constraint, cost: float = 1.0, enough: Enough = ENOUGH) -> np.ndarray:
    groups, others = fit(LABELS, SCORE, SENSITIVE, constraint, cost, enough, 1)
    rule = Decision(0.5, (Input("g", "category"),), groups, others)
    return rule._chance(SCORE, [None if g is None else (g,) for g in GROUP])


def rates(chance: np.ndarray, rows: np.ndarray) -> list[float]:
    return [float(chance[(g == GROUP) & rows].mean()) for g in ("a", "b")]


def test_selection_rates_are_equal() -> None:
    everybody = np.ones(N, dtype=bool)
    first, second = rates(chances("demographic_parity"), everybody)
    assert 0.05 < first == pytest.approx(second, abs=1e-9)
    assert abs(np.subtract(*rates(chances("equalized_odds"), everybody))) > 0.02


def test_odds_are_equal() -> None:
    chance = chances("equalized_odds")
    for rows in (LABELS, ~LABELS):
        first, second = rates(chance, rows)
        assert first == pytest.approx(second, abs=1e-9)
    assert rates(chance, LABELS)[0] > rates(chance, ~LABELS)[0]


@pytest.mark.parametrize("constraint", ["demographic_parity", "equalized_odds"])
def test_a_dearer_miss_is_missed_less_and_each_cost_is_served_best_by_its_own_rule(
    constraint: Constraint,
) -> None:
    found = {cost: chances(constraint, cost) for cost in (0.4, 1.0, 3.0)}
    hits = [chance[LABELS].mean() for chance in found.values()]
    assert hits == sorted(hits)
    assert hits[0] < hits[-1]
    # Rows that no group's steps decide are left out: the one threshold is nobody's concern here.
    known = np.array([g in ("a", "b") for g in GROUP])
    for cost in found:
        worth = {
            other: cost * chance[LABELS & known].sum() - chance[~LABELS & known].sum()
            for other, chance in found.items()
        }
        assert worth[cost] >= max(worth.values()) - 0.01 * LABELS.sum()


def test_small_groups_share_steps_where_together_they_are_large_enough() -> None:
    found = fitted("demographic_parity", 1.0, Enough(160, 20))
    assert set(found) == {("a",), ("b",), None}
    assert found[None] is not None
    assert fitted("demographic_parity", 1.0)[None] is None


def test_one_group_alone_has_nobody_to_be_equal_to() -> None:
    with pytest.raises(
        DataError, match=r"of those of \['g'\] fewer than two have 2500 validation rows and 1 of each"
    ):
        chances("demographic_parity", enough=Enough(2500, 20))
    with pytest.raises(DataError, match="and 400 of each class"):
        chances("equalized_odds", enough=Enough(200, 400))
