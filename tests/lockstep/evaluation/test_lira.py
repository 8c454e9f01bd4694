"""The likelihood-ratio attack leaves every row out alike, and finds what loss alone does not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit, softmax

from lockstep.evaluation.lira import confidence, half, likelihood_ratios
from lockstep.evaluation.membership import attack

RNG = np.random.default_rng(2)


def test_two_networks_share_out_the_rows_and_equal_rows_stay_together() -> None:
    groups = RNG.integers(0, 300, 1000)
    halves = [half(groups, network, 5) for network in range(4)]
    assert np.array_equal(halves[0], ~halves[1])
    assert np.array_equal(halves[2], ~halves[3])
    assert not np.array_equal(halves[0], halves[2])
    for learned in halves:
        assert 0.4 < learned.mean() < 0.6
        assert all(len(set(learned[groups == group])) == 1 for group in range(300) if (groups == group).any())
    assert not np.array_equal(half(groups, 0, 6), halves[0])


def test_confidence_is_the_logit_of_the_own_class() -> None:
    codes, probability = np.array([1, 0, 1]), np.array([0.9, 0.2, 1.0])
    found = confidence(codes, probability)
    assert found[:2] == pytest.approx([logit(0.9), logit(0.8)])
    assert 30 < found[2] < 40
    several = softmax(RNG.normal(size=(3, 3)), axis=1)
    assert confidence(codes, several) == pytest.approx(logit(several[np.arange(3), codes]))


def test_it_finds_the_odd_rows_that_loss_alone_hides() -> None:
    n_rows, is_member = 4000, np.arange(4000) < 2000
    # How easy a row is differs far more than what having been trained on it adds.
    ease = RNG.normal(0, 4, n_rows)
    shipped = ease + RNG.normal(0, 0.5, n_rows) + 1.5 * is_member
    networks = ease + RNG.normal(0, 0.5, (8, n_rows))
    for network in range(8):
        networks[network, half(np.arange(n_rows), network, 1)] = np.nan
    assert (np.isnan(networks).sum(axis=0) == 4).all()
    ratios = likelihood_ratios(shipped, networks)
    found, by_loss = (
        attack(score[is_member], score[~is_member], 0.01, 1)
        for score in (ratios, -np.log1p(np.exp(-shipped)))
    )
    assert found["true_positive_rate"] > 0.4
    assert by_loss["true_positive_rate"] < 0.1
    assert expit(ratios).min() >= 0
