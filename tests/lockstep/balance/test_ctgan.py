"""The conditional GAN is a sampler of imbalanced-learn, and learns what a class is like."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from imblearn.utils.estimator_checks import estimator_checks_generator

from lockstep.balance._modes import Modes
from lockstep.balance.ctgan import CTGAN

CHECKS = list(estimator_checks_generator(CTGAN(random_state=0, steps=1, modes=2)))


@pytest.mark.slow
@pytest.mark.parametrize(("estimator", "check"), CHECKS, ids=[check.func.__name__ for _, check in CHECKS])
def test_it_passes_the_checks_of_imbalanced_learn(estimator: Any, check: Any) -> None:
    check(estimator)


def test_modes_are_told_apart_and_numbers_come_back() -> None:
    rng = np.random.default_rng(0)
    spike = np.zeros(3000)
    numbers = rng.permutation(np.concatenate((spike, rng.normal(50, 2, 2000), rng.normal(-20, 1, 1000))))
    modes = Modes(numbers, 10, 1)
    places, of_mode = modes.encode(numbers, rng)
    assert modes.count >= 3
    assert np.abs(places).max() <= 1
    assert np.mean(np.abs(modes.decode(places, of_mode) - numbers)) < 0.2
    assert not {*of_mode[numbers == 0]} & {*of_mode[numbers > 40]}


@pytest.mark.slow
def test_it_learns_what_tells_a_class_apart() -> None:
    rng = np.random.default_rng(0)
    codes = (np.arange(4000) % 10 == 0).astype(int)
    kind = np.where(rng.random(4000) < 0.9, codes, 1 - codes) * 7.0 + 3.0
    X = np.column_stack((rng.normal(np.where(codes, 4, -4), 1), kind, rng.normal(size=4000)))
    sampler = CTGAN(categorical_features=[1], random_state=0, steps=600)
    made, labels = (part[4000:] for part in sampler.fit_resample(X, codes))
    assert (labels == 1).all()
    assert len(made) == 3200
    assert set(made[:, 1]) <= {3.0, 10.0}
    assert np.mean(made[:, 1] == 10.0) > 0.7
    # Nearer to its class, at 4, than to the other one, at -4; the default trains three times as long.
    assert np.median(made[:, 0]) > 0
    assert X[:, 0].min() <= made[:, 0].min() <= made[:, 0].max() <= X[:, 0].max()
    again, _ = sampler.fit_resample(X, codes)
    assert (again[4000:] == made).all()
