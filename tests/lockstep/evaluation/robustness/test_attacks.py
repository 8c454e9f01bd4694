"""An adversary that knows the float network: its slopes are right, it stays within bounds, and it does harm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lockstep.data.decorrelation import Decorrelation, Residual, Sensitive
from lockstep.data.encoding import Encoder
from lockstep.data.plausible import Plausible
from lockstep.data.tables import raw_columns
from lockstep.evaluation.robustness.fgsm import fgsm
from lockstep.evaluation.robustness.flips import flips
from lockstep.evaluation.robustness.pgd import pgd
from lockstep.evaluation.robustness.surface import Surface
from lockstep.models import saving
from lockstep.models.network import Network, build
from lockstep.models.slopes import Slopes

RNG = np.random.default_rng(21)
SIZE = 120
TABLE = pa.table(
    {
        "age": pa.array(RNG.integers(18, 80, SIZE), mask=RNG.random(SIZE) < 0.1),
        "height": RNG.normal(170, 9, SIZE),
        "gains": np.where(RNG.random(SIZE) < 0.6, 0.0, RNG.exponential(900, SIZE)),
        "job": RNG.choice(["clerk", "cook", "smith", "teacher"], SIZE),
        "sex": RNG.choice(["f", "m"], SIZE),
    }
)
RAW = raw_columns(TABLE, TABLE.column_names)
FEATURES = ["age", "height", "gains", "job"]
PLAUSIBLE = Plausible.fit(TABLE, FEATURES)
SHIFT = Decorrelation(
    (Sensitive("sex", "category", ("f", "m")),),
    (Residual("height", (0.5, 0.5), (2.0, -3.0)), Residual("age", (0.5, 0.5), (1.0, 0.0))),
)


class Known:
    """A network of random weights, and rows of it."""

    def __init__(self, n_classes: int, members: int = 2, transform: Decorrelation | None = None) -> None:
        table = RAW if transform else {name: RAW[name] for name in FEATURES}
        self.encoder = Encoder.fit(table, bins=8, min_value_rows=5, decorrelation=transform)
        network = Network(
            self.encoder.n_codes,
            self.encoder.n_coded,
            self.encoder.numeric_width,
            hidden=(12,),
            n_outputs=n_classes if n_classes > 2 else 1,
            embedding_dim=4,
            members=members,
        )
        model, rng = build(network), np.random.default_rng(4)
        for weight in model.weights:
            drawn = rng.normal(0, 0.5, weight.shape)
            weight.assign(np.abs(drawn) + 0.5 if "variance" in weight.path else drawn)
        self.slopes = Slopes(saving.to_bytes(network, model), seed=1)
        self.codes = rng.integers(n_classes, size=SIZE)
        self.surface = Surface(self.encoder, self.slopes, RAW, self.codes, PLAUSIBLE)

    def loss(self, table: Any) -> Any:
        return self.slopes.loss(self.encoder.encode(table), self.codes)


KNOWN: dict[str, dict[str, Any]] = {
    "two classes": {"n_classes": 2},
    "three classes": {"n_classes": 3, "members": 1},
    "decorrelated": {"n_classes": 2, "transform": SHIFT},
}


@pytest.fixture(scope="module", params=KNOWN)
def known(request: pytest.FixtureRequest) -> Known:
    return Known(**KNOWN[request.param])


def test_the_slope_by_an_amount_is_what_the_loss_gains(known: Known) -> None:
    surface = known.surface
    _, slope = surface.slope(surface.start)
    for i, name in enumerate(PLAUSIBLE.amounts):
        # Where no edge of a bin and no value with a code of its own is near.
        step = np.zeros(surface.start.shape)
        step[:, i] = 0.01 * PLAUSIBLE.amounts[name].spread
        after, before = (known.loss(surface.table(surface.start + sign * step)) for sign in (1, -1))
        found = (after.astype(float) - before) / (2 * step[:, i])
        apart = np.abs(found - slope[:, i]) * PLAUSIBLE.amounts[name].spread
        smooth = np.isfinite(surface.start[:, i]) & (surface.start[:, i] != 0.0)
        assert np.median(apart[smooth]) < 2e-3
        assert np.abs(slope[smooth, i]).max() > 0
        np.testing.assert_array_equal(slope[np.isnan(surface.start[:, i]), i], 0.0)


def test_what_is_encoded_in_part_is_encoded_as_a_whole(known: Known) -> None:
    moved = fgsm(known.surface, 0.3)
    np.testing.assert_allclose(known.surface.loss(moved), known.loss(known.surface.table(moved)), rtol=1e-6)


@pytest.mark.parametrize("attack", [fgsm, lambda s, strength: pgd(s, strength, np.random.default_rng(2))])
def test_an_attack_does_harm_within_plausible_bounds(known: Known, attack: Any) -> None:
    strength = 0.3
    table = known.surface.table(attack(known.surface, strength))
    for name, amount in PLAUSIBLE.amounts.items():
        before, after = RAW[name], table[name]
        np.testing.assert_array_equal(np.isnan(before), np.isnan(after))
        there = ~np.isnan(before)
        assert np.abs(after - before)[there].max() <= strength * amount.spread + 1e-9
        assert amount.low <= after[there].min() <= after[there].max() <= amount.high
        np.testing.assert_array_equal(
            after[np.isin(before, amount.marks)], before[np.isin(before, amount.marks)]
        )
    ages = table["age"][~np.isnan(table["age"])]
    np.testing.assert_array_equal(ages, np.rint(ages))
    assert all(table[name] is RAW[name] for name in ("job", "sex"))
    assert known.loss(table).mean() > known.loss(RAW).mean()


def test_many_small_steps_do_more_harm_than_one(known: Known) -> None:
    surface = known.surface
    worst = surface.loss(pgd(surface, 0.5, np.random.default_rng(2)))
    assert (worst >= surface.loss(surface.start)).all()
    assert worst.mean() > surface.loss(fgsm(surface, 0.5)).mean()


def test_flips_exchange_known_categories_one_by_one(known: Known) -> None:
    losses, before = [known.loss(RAW)], RAW
    for table in flips(known.encoder, known.slopes, RAW, known.codes, 2):
        changed = table["job"] != before["job"]
        assert changed.any() or len(losses) > 1
        assert set(table["job"]) <= set(PLAUSIBLE.choices["job"].values)
        assert all((table[name] == RAW[name]).all() or name in ("age", "job") for name in RAW)
        losses.append(known.loss(table))
        assert (losses[-1] >= losses[-2] - 1e-6).all()
        assert losses[-1].mean() > losses[0].mean()
        before = table
    # One column of categories: there is nothing left to exchange.
    np.testing.assert_array_equal(losses[1], losses[2])


def test_the_exchange_is_the_worst_there_is(known: Known) -> None:
    [table] = flips(known.encoder, known.slopes, RAW, known.codes, 1)
    every = [
        known.loss({**RAW, "job": np.full(SIZE, job, dtype=object)})
        for job in PLAUSIBLE.choices["job"].values
    ]
    # It is foretold to first order, so that a few rows may know a worse one.
    assert np.mean(known.loss(table) >= np.max(every, axis=0) - 1e-6) > 0.7


def test_rows_without_amounts_or_categories_stay() -> None:
    numbers = {"height": RAW["height"]}
    encoder = Encoder.fit(numbers, bins=4, min_value_rows=SIZE)
    network = Network(encoder.n_codes, encoder.n_coded, encoder.numeric_width, hidden=(4,))
    slopes = Slopes(saving.to_bytes(network, build(network)), seed=1)
    codes = np.zeros(SIZE, dtype=np.int64)
    for table in flips(encoder, slopes, numbers, codes, 2):
        np.testing.assert_array_equal(table["height"], numbers["height"])
    jobs = {"job": RAW["job"]}
    encoder = Encoder.fit(jobs, bins=4, min_value_rows=5)
    network = replace(network, n_codes=encoder.n_codes, n_coded=encoder.n_coded, numeric_width=0)
    slopes = Slopes(saving.to_bytes(network, build(network)), seed=1)
    surface = Surface(encoder, slopes, jobs, codes, Plausible.fit(TABLE, ["job"]))
    for moved in (fgsm(surface, 0.5), pgd(surface, 0.5, np.random.default_rng(1))):
        np.testing.assert_array_equal(surface.table(moved)["job"], jobs["job"])
